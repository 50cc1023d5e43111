"""Images: archives both ways, names, removal, registries."""

import asyncio
import io
import json
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon, busybox_tar

from tiffin.testing.fake_registry import FakeRegistry

pytestmark = pytest.mark.e2e


def test_import_history_and_inspect(daemon: Daemon, busybox: str) -> None:
    found = json.loads(daemon.docker("image", "inspect", busybox).stdout)[0]
    assert found["RepoTags"] == [busybox]
    assert found["Config"]["Cmd"] == ["sh"]
    assert len(found["RootFS"]["Layers"]) == 1
    lines = daemon.docker("history", "--format", "{{.Comment}}", busybox).stdout.splitlines()
    assert len(lines) == 1
    listed = daemon.docker("images", "--no-trunc", "-q").stdout.split()
    assert found["Id"] in listed


def test_tag_and_untag(daemon: Daemon, busybox: str) -> None:
    daemon.docker("tag", busybox, "other/name:1")
    assert daemon.docker("rmi", "other/name:1").stdout == "Untagged: other/name:1\n"
    done = daemon.docker("rmi", "other/name:1", check=False)
    assert "No such image: other/name:1" in done.stderr
    bad = daemon.docker("tag", busybox, "Upper/Case", check=False)
    assert "must be lowercase" in bad.stderr


def test_save_and_load_keep_the_id(daemon: Daemon, busybox: str, tmp_path: Path) -> None:
    daemon.docker("tag", busybox, "kept:1")
    before = daemon.docker("inspect", "-f", "{{.Id}}", "kept:1").stdout
    archive = tmp_path / "kept.tar"
    daemon.docker("save", "-o", str(archive), "kept:1")
    with tarfile.open(archive) as tar:
        names = tar.getnames()
    assert {"manifest.json", "index.json", "oci-layout"} <= set(names)
    daemon.docker("rmi", "kept:1")
    done = daemon.docker("load", "-i", str(archive))
    assert "Loaded image: kept:1" in done.stdout
    assert daemon.docker("inspect", "-f", "{{.Id}}", "kept:1").stdout == before
    daemon.docker("rmi", "kept:1")


def test_an_image_in_use_is_kept(daemon: Daemon) -> None:
    daemon.import_busybox("used:1")
    daemon.docker("create", "--name", "user", "used:1")
    done = daemon.docker("rmi", "used:1", check=False)
    assert done.returncode == 1
    assert "conflict: unable to" in done.stderr
    daemon.docker("rm", "user")
    daemon.docker("rmi", "-f", "used:1")


def test_commit_and_export(daemon: Daemon, busybox: str) -> None:
    daemon.docker("run", "--name", "source", busybox, "sh", "-c", "echo new > /made; rm /etc/group")
    daemon.docker("commit", "-m", "words", "-c", 'CMD ["cat", "/made"]', "source", "committed:1")
    assert daemon.docker("run", "--rm", "committed:1").stdout == "new\n"
    assert (
        daemon.docker("run", "--rm", "committed:1", "ls", "/etc/group", check=False).returncode == 1
    )
    assert "words" in daemon.docker("history", "committed:1").stdout
    data = subprocess.run(["docker", "export", "source"], env=daemon.environment, capture_output=True,
                          check=True).stdout  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = {name.strip("./") for name in tar.getnames()}
    assert "made" in names
    assert "etc/group" not in names
    daemon.docker("rm", "source")
    daemon.docker("rmi", "committed:1")


def test_malformed_archives_are_refused_and_leave_nothing(daemon: Daemon, tmp_path: Path) -> None:
    before = daemon.docker("images", "-aq").stdout
    for name, data in {
        "empty": b"",
        "text": b"this is no archive" * 100,
        "truncated": busybox_tar()[:100_000],
        "no-manifest": _tar({"a": b"b"}),
        "bad-manifest": _tar({"manifest.json": b"{"}),
        "missing-layer": _tar(
            {"manifest.json": b'[{"Config":"c.json","RepoTags":["x:1"],"Layers":["l.tar"]}]',
             "c.json": b"{}"}
        ),
        "outside": _tar(
            {"manifest.json": b'[{"Config":"../../../etc/passwd","RepoTags":["x:1"],"Layers":[]}]'}
        ),
    }.items():  # fmt: skip
        path = tmp_path / f"{name}.tar"
        path.write_bytes(data)
        done = daemon.docker("load", "-i", str(path), check=False)
        assert done.returncode == 1, name
        assert "Traceback" not in done.stderr
    assert daemon.docker("images", "-aq").stdout == before


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def test_layers_never_land_outside(daemon: Daemon, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        link = tarfile.TarInfo("escape")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        for name in ("escape/planted", "../../../../../../planted", "/abs/planted"):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    subprocess.run(["docker", "import", "-", "evil:1"], input=buffer.getvalue(), env=daemon.environment,
                   capture_output=True, check=False)  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    assert not Path("/planted").exists()
    assert not Path("/abs").exists()
    daemon.docker("rmi", "evil:1", check=False)


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """Serve a registry from a thread of its own; yield its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    fake = FakeRegistry(auth="token", users={"ann": "secret"}, anonymous_pull=True)
    asyncio.run_coroutine_threadsafe(fake.__aenter__(), loop).result(10)
    try:
        yield fake.host
    finally:
        asyncio.run_coroutine_threadsafe(fake.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_push_and_pull(daemon: Daemon, busybox: str, registry: str) -> None:
    name = f"{registry}/team/box:1"
    daemon.docker("tag", busybox, name)
    refused = daemon.docker("push", name, check=False)
    assert refused.returncode == 1
    wrong = daemon.docker("login", "-u", "ann", "-p", "wrong", registry, check=False)
    assert wrong.returncode == 1
    assert "Login Succeeded" in daemon.docker("login", "-u", "ann", "-p", "secret", registry).stdout
    pushed = daemon.docker("push", name)
    assert "digest: sha256:" in pushed.stdout
    before = daemon.docker("inspect", "-f", "{{.Id}}", name).stdout
    daemon.docker("rmi", name)
    pulled = daemon.docker("pull", name)
    assert "Status: Downloaded newer image for" in pulled.stdout
    assert daemon.docker("inspect", "-f", "{{.Id}}", name).stdout == before
    assert daemon.docker("run", "--rm", name, "echo", "hi").stdout == "hi\n"
    missing = daemon.docker("pull", f"{registry}/team/box:nope", check=False)
    assert "manifest unknown" in missing.stderr or "not found" in missing.stderr
    daemon.docker("rmi", name)
