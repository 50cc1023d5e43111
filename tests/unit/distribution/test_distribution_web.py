import base64
from pathlib import Path

import pytest

from tiffin.distribution.access.htpasswd import set_password
from tiffin.spec.descriptor import OCI_INDEX
from tiffin.testing.registry_lab import digest_of, index_of, registry_lab


async def test_the_page_and_its_policy(tmp_path: Path) -> None:
    async with registry_lab(tmp_path) as lab:
        for path, kind in (
            ("/", "text/html"), ("/ui/app.js", "text/javascript"), ("/ui/style.css", "text/css"),
            ("/ui/icon.svg", "image/svg+xml"),
        ):  # fmt: skip
            answer = await lab.ask("GET", path)
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith(kind)
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            # The policy would stop all of these; better that there are none.
            assert b"innerHTML" not in answer.body
            assert b"<script>" not in answer.body
            assert b" style=" not in answer.body
        assert (await lab.ask("GET", "/ui/../wiring.py")).status == 404
    async with registry_lab(tmp_path, web=False) as lab:
        assert (await lab.ask("GET", "/")).status == 404


async def test_what_the_page_shows(tmp_path: Path) -> None:
    async with registry_lab(tmp_path) as lab:
        image = await lab.push_image("team/app", "v1", b"a" * 1000, b"b" * 10)
        await lab.push_manifest("team/app", "all", index_of(image), OCI_INDEX)
        await lab.push_manifest("team/app", "own", b"\xff", "application/vnd.own")
        await lab.push_blob("other", b"x")
        found = await lab.ask("GET", "/ui/api/repositories")
        assert [entry["name"] for entry in found.json["repositories"]] == ["other", "team/app"]
        assert found.json["repositories"][1]["tags"] == 3
        assert found.json["repositories"][1]["size"] > 1010
        for words, names in (("APP", ["team/app"]), ("a t", ["team/app"]), ("%3Cb%3E", [])):
            found = await lab.ask("GET", f"/ui/api/repositories?q={words.replace(' ', '%20')}")
            assert [entry["name"] for entry in found.json["repositories"]] == names
        tags = (await lab.ask("GET", "/ui/api/tags?name=team/app")).json["tags"]
        assert [(tag["tag"], tag["kind"]) for tag in tags] == [
            ("all", "index"), ("own", "artifact"), ("v1", "image"),
        ]  # fmt: skip
        assert tags[2]["platforms"] == ["linux/amd64"]
        assert tags[0]["size"] > tags[2]["size"] > 1010
        path = "/ui/api/image?name=team/app&reference="
        shown = (await lab.ask("GET", f"{path}v1")).json
        assert [layer["size"] for layer in shown["layers"]] == [1000, 10]
        [child] = (await lab.ask("GET", f"{path}all")).json["manifests"]
        assert (child["digest"], child["here"]) == (digest_of(image), True)
        assert (await lab.ask("GET", f"{path}own")).json["layers"] == []
        assert (await lab.ask("GET", f"{path}none")).status == 404
        assert (await lab.ask("GET", "/ui/api/tags?name=none")).status == 404
        assert (await lab.ask("GET", "/ui/api/tags")).status == 400


async def test_the_page_shows_what_its_reader_may_pull(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiffin.distribution.access.htpasswd._COST", 4)
    users = tmp_path / "users"
    set_password(users, "ann", "x")
    access = [
        {"users": ["anonymous"], "repositories": ["public/**"], "rights": ["pull"]},
        {"users": ["ann"], "repositories": ["**"], "rights": ["*"]},
    ]
    settings = {"auth": {"htpasswd": str(users)}, "access": access}
    async with registry_lab(tmp_path / "root", **settings) as lab:
        empty = await lab.ask("GET", "/ui/api/repositories")
        assert empty.status == 401
        assert empty.headers["WWW-Authenticate"].startswith("Basic ")
        lab.headers["Authorization"] = "Basic " + base64.b64encode(b"ann:x").decode()
        for name in ("public/a", "secret/b"):
            await lab.push_image(name, "v1", b"layer")
        everything = (await lab.ask("GET", "/ui/api/repositories")).json
        assert (everything["total"], everything["user"]) == (2, "ann")
        assert (await lab.ask("GET", "/ui/login")).status == 302
        lab.headers.clear()
        some = (await lab.ask("GET", "/ui/api/repositories")).json
        assert [entry["name"] for entry in some["repositories"]] == ["public/a"]
        assert some["canLogIn"] is True
        assert (await lab.ask("GET", "/ui/api/tags?name=secret/b")).status == 401
        assert (await lab.ask("GET", "/ui/login")).status == 401
