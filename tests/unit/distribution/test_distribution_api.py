"""The protocol, endpoint by endpoint, against a real server in this process."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiffin.spec.descriptor import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from tiffin.testing.registry_lab import Answer, RegistryLab, digest_of, index_of, registry_lab

DATA = os.urandom(3 << 20)
DIGEST = digest_of(DATA)
MISSING = "sha256:" + "0" * 64
OCTETS = "application/octet-stream"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RegistryLab]:
    async with registry_lab(tmp_path / "root") as lab:
        yield lab


async def begin(lab: RegistryLab, query: str = "") -> str:
    answer = await lab.ask("POST", f"/v2/a/b/blobs/uploads/{query}")
    assert answer.status == 202
    return answer.headers["Location"]


def with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


async def test_the_base(lab: RegistryLab) -> None:
    for path in ("/v2/", "/v2"):
        answer = await lab.ask("GET", path)
        assert (answer.status, answer.json) == (200, {})
        assert answer.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert (await lab.ask("HEAD", "/v2/")).status == 200
    assert (await lab.ask("GET", "/v2/nothing/known")).status == 404


async def test_post_then_put(lab: RegistryLab) -> None:
    location = await begin(lab)
    answer = await lab.ask("PUT", with_digest(location, DIGEST), DATA, Content_Type=OCTETS)
    assert (answer.status, answer.headers["Docker-Content-Digest"]) == (201, DIGEST)
    found = await lab.ask("GET", answer.headers["Location"])
    assert (found.status, found.body) == (200, DATA)
    assert found.headers["Content-Type"] == OCTETS
    head = await lab.ask("HEAD", answer.headers["Location"])
    assert (head.headers["Content-Length"], head.body) == (str(len(DATA)), b"")
    assert (await lab.ask("GET", location)).code == "BLOB_UPLOAD_UNKNOWN"


async def test_chunks_in_order_only(lab: RegistryLab) -> None:
    location = await begin(lab)
    half = len(DATA) // 2
    first = await lab.ask("PATCH", location, DATA[:half], Content_Range=f"0-{half - 1}")
    assert (first.status, first.headers["Range"]) == (202, f"0-{half - 1}")
    wrong = await lab.ask("PATCH", location, DATA[:9], Content_Range="3-11")
    assert (wrong.status, wrong.headers["Range"]) == (416, f"0-{half - 1}")
    gap = await lab.ask(
        "PUT", with_digest(location, DIGEST), b"x", Content_Range="99999999-99999999"
    )
    assert gap.status == 416
    status = await lab.ask("GET", location)
    assert (status.status, status.headers["Range"]) == (204, f"0-{half - 1}")
    lies = await lab.ask("PATCH", location, b"", Content_Range=f"{half}-{half + 4}")
    assert lies.code == "SIZE_INVALID"
    malformed = await lab.ask("PATCH", location, b"x", Content_Range="what")
    assert malformed.status == 416
    last = await lab.ask(
        "PUT", with_digest(location, DIGEST), DATA[half:],
        Content_Range=f"{half}-{len(DATA) - 1}",
    )  # fmt: skip
    assert last.status == 201
    assert (await lab.ask("GET", f"/v2/a/b/blobs/{DIGEST}")).body == DATA


async def test_an_upload_survives_the_server(tmp_path: Path) -> None:
    async with registry_lab(tmp_path) as lab:
        location = await begin(lab)
        await lab.ask("PATCH", location, DATA[:1_000_000])
    async with registry_lab(tmp_path) as lab:
        status = await lab.ask("GET", location)
        assert status.headers["Range"] == "0-999999"
        answer = await lab.ask("PUT", with_digest(location, DIGEST), DATA[1_000_000:])
        assert answer.status == 201


async def test_what_came_before_a_break_is_kept(lab: RegistryLab, tmp_path: Path) -> None:
    location = await begin(lab)
    _, writer = await asyncio.open_connection(lab.base.host, lab.base.port)
    head = f"PATCH {location} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n"
    writer.write(head.encode() + DATA[:-1])
    [stored] = (tmp_path / "root" / "uploads").iterdir()
    deadline = time.monotonic() + 10
    while stored.stat().st_size < 1 << 20:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    writer.close()
    await writer.wait_closed()
    status = await lab.ask("GET", location)
    come = int(status.headers["Range"].removeprefix("0-")) + 1
    assert come >= 1 << 20
    assert (await lab.ask("PUT", with_digest(location, DIGEST), DATA[come:])).status == 201


async def test_a_wrong_digest_ends_the_upload(lab: RegistryLab, tmp_path: Path) -> None:
    location = await begin(lab)
    answer = await lab.ask("PUT", with_digest(location, MISSING), DATA)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert (await lab.ask("GET", location)).code == "BLOB_UPLOAD_UNKNOWN"
    single = await lab.ask("POST", f"/v2/a/b/blobs/uploads/?digest={MISSING}", DATA)
    assert single.code == "DIGEST_INVALID"
    assert not os.listdir(tmp_path / "root" / "uploads")
    for digest in ("", "sha256:abc", "md5:" + "0" * 32, "x"):
        location = await begin(lab)
        assert (await lab.ask("PUT", with_digest(location, digest), b"")).code == "DIGEST_INVALID"
    assert (await lab.ask("PUT", await begin(lab), b"")).code == "DIGEST_INVALID"


async def test_cancel(lab: RegistryLab, tmp_path: Path) -> None:
    location = await begin(lab)
    await lab.ask("PATCH", location, DATA)
    assert (await lab.ask("DELETE", location)).status == 204
    for method in ("GET", "PATCH", "DELETE"):
        assert (await lab.ask(method, location)).code == "BLOB_UPLOAD_UNKNOWN"
    assert not os.listdir(tmp_path / "root" / "uploads")


async def test_an_upload_belongs_to_its_repository(lab: RegistryLab) -> None:
    location = await begin(lab)
    stolen = location.replace("/a/b/", "/other/")
    assert (await lab.ask("PATCH", stolen, b"x")).code == "BLOB_UPLOAD_UNKNOWN"
    for identifier in ("x", "..%2F..%2Fetc", "0" * 36):
        answer = await lab.ask("GET", f"/v2/a/b/blobs/uploads/{identifier}")
        assert answer.status == 404


async def test_sha512(lab: RegistryLab) -> None:
    digest = digest_of(DATA, "sha512")
    location = await begin(lab, "?digest-algorithm=sha512")
    moved = await lab.ask("PATCH", location, DATA[:9])
    for_the_rest = moved.headers["Location"]
    answer = await lab.ask("PUT", with_digest(for_the_rest, digest), DATA[9:])
    assert answer.status == 201
    # Without the hint the bytes are read once more.
    location = await begin(lab)
    await lab.ask("PATCH", location, DATA[:9])
    assert (await lab.ask("PUT", with_digest(location, digest), DATA[9:])).status == 201
    assert (await lab.ask("GET", f"/v2/a/b/blobs/{digest}")).body == DATA
    refused = await lab.ask("POST", "/v2/a/b/blobs/uploads/?digest-algorithm=md5")
    assert refused.code == "DIGEST_INVALID"


async def test_ranges_and_conditions(lab: RegistryLab) -> None:
    path = f"/v2/a/b/blobs/{await lab.push_blob('a/b', DATA)}"
    part = await lab.ask("GET", path, Range="bytes=100-199")
    assert (part.status, part.body) == (206, DATA[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{len(DATA)}"
    assert (await lab.ask("GET", path, Range="bytes=-10")).body == DATA[-10:]
    assert (await lab.ask("GET", path, Range="bytes=2000000-")).body == DATA[2000000:]
    beyond = await lab.ask("GET", path, Range=f"bytes={len(DATA)}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")
    assert (await lab.ask("GET", path, Range="lines=1-2")).status == 200
    head = await lab.ask("HEAD", path, Range="bytes=0-9")
    assert (head.status, head.headers["Content-Length"]) == (206, "10")
    same = await lab.ask("GET", path, If_None_Match=f'W/"x", "{DIGEST}"')
    assert (same.status, same.body) == (304, b"")
    changed = await lab.ask("GET", path, Range="bytes=0-9", If_Range='"other"')
    assert (changed.status, len(changed.body)) == (200, len(DATA))
    assert (await lab.ask("GET", path, Range="bytes=0-9", If_Range=f'"{DIGEST}"')).status == 206


async def test_a_blob_that_goes_meanwhile(
    lab: RegistryLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = f"/v2/a/b/blobs/{await lab.push_blob('a/b', DATA)}"
    from tiffin.distribution.storage.filesystem import FilesystemDriver

    monkeypatch.setattr(FilesystemDriver, "path", lambda *_: tmp_path / "gone")
    assert (await lab.ask("GET", path)).code == "BLOB_UNKNOWN"
    monkeypatch.setattr(FilesystemDriver, "path", lambda *_: None)
    assert (await lab.ask("GET", path)).body == DATA


async def test_mounts(lab: RegistryLab) -> None:
    await lab.push_blob("source", DATA)
    assert (await lab.ask("GET", f"/v2/target/blobs/{DIGEST}")).code == "BLOB_UNKNOWN"
    mount = f"/v2/target/blobs/uploads/?mount={DIGEST}"
    absent = await lab.ask("POST", f"{mount}&from=elsewhere")
    assert absent.status == 202
    mounted = await lab.ask("POST", f"{mount}&from=source")
    assert (mounted.status, mounted.headers["Location"]) == (201, f"/v2/target/blobs/{DIGEST}")
    assert (await lab.ask("GET", f"/v2/target/blobs/{DIGEST}")).body == DATA
    anonymous = await lab.ask("POST", f"/v2/third/blobs/uploads/?mount={DIGEST}")
    assert anonymous.status == 201
    unknown = await lab.ask("POST", f"/v2/third/blobs/uploads/?mount={MISSING}&from=source")
    assert unknown.status == 202
    assert (await lab.ask("POST", f"{mount}&from=UPPER")).code == "NAME_INVALID"


async def test_blobs_are_deleted_from_one_repository(lab: RegistryLab) -> None:
    for name in ("one", "two"):
        await lab.push_blob(name, DATA)
    assert (await lab.ask("DELETE", f"/v2/one/blobs/{DIGEST}")).status == 202
    assert (await lab.ask("DELETE", f"/v2/one/blobs/{DIGEST}")).code == "BLOB_UNKNOWN"
    assert (await lab.ask("HEAD", f"/v2/one/blobs/{DIGEST}")).status == 404
    assert (await lab.ask("GET", f"/v2/two/blobs/{DIGEST}")).status == 200


async def test_manifests_by_tag_and_digest(lab: RegistryLab) -> None:
    manifest = await lab.push_image("a/b", "v1", DATA)
    digest = digest_of(manifest)
    for reference in ("v1", digest):
        found = await lab.ask("GET", f"/v2/a/b/manifests/{reference}")
        assert (found.status, found.body) == (200, manifest)
        assert found.headers["Content-Type"] == OCI_MANIFEST
        assert found.headers["Docker-Content-Digest"] == digest
        head = await lab.ask("HEAD", f"/v2/a/b/manifests/{reference}")
        assert head.headers["Content-Length"] == str(len(manifest))
        same = await lab.ask("GET", f"/v2/a/b/manifests/{reference}", If_None_Match=f'"{digest}"')
        assert same.status == 304
    assert (await lab.ask("GET", "/v2/a/b/manifests/v2")).code == "MANIFEST_UNKNOWN"
    assert (await lab.ask("GET", "/v2/other/manifests/v1")).code == "MANIFEST_UNKNOWN"
    assert (await lab.ask("GET", f"/v2/a/b/manifests/{MISSING}")).code == "MANIFEST_UNKNOWN"
    wrong = await lab.push_manifest("a/b", MISSING, manifest)
    assert (wrong.status, wrong.code) == (400, "DIGEST_INVALID")


async def test_several_tags_at_once(lab: RegistryLab) -> None:
    manifest = await lab.push_image("a/b", "v1", DATA)
    path = f"/v2/a/b/manifests/{digest_of(manifest)}?tag=1&tag=1.2&tag=latest"
    answer = await lab.ask("PUT", path, manifest, Content_Type=OCI_MANIFEST)
    assert (answer.status, answer.headers["OCI-Tag"]) == (201, "1, 1.2, latest")
    tags = await lab.ask("GET", "/v2/a/b/tags/list")
    assert tags.json == {"name": "a/b", "tags": ["1", "1.2", "latest", "v1"]}
    bad = await lab.ask("PUT", path + "&tag=-no", manifest, Content_Type=OCI_MANIFEST)
    assert bad.code == "MANIFEST_INVALID"


async def test_manifests_that_are_refused(lab: RegistryLab) -> None:
    good = json.loads(await lab.push_image("a/b", "v1", DATA))
    for change, code in [
        ({"schemaVersion": 1}, "MANIFEST_INVALID"),
        ({"mediaType": DOCKER_MANIFEST}, "MANIFEST_INVALID"),
        ({"manifests": []}, "MANIFEST_INVALID"),
        ({"layers": "many"}, "MANIFEST_INVALID"),
        ({"config": {"digest": "x"}}, "MANIFEST_INVALID"),
        ({"layers": [good["config"] | {"size": -1}]}, "MANIFEST_INVALID"),
        ({"layers": [good["config"] | {"digest": MISSING}]}, "MANIFEST_BLOB_UNKNOWN"),
        ({"annotations": {"a": 1}}, "MANIFEST_INVALID"),
        ({"subject": {"digest": "sha256:../x", "size": 1}}, "MANIFEST_INVALID"),
    ]:
        answer = await lab.push_manifest("a/b", "bad", json.dumps(good | change).encode())
        assert answer.code == code, change
    for data, media_type in [
        (b"", OCI_MANIFEST), (b"[]", OCI_MANIFEST), (b"{", OCI_INDEX), (b"[" * 10_000, OCI_INDEX),
        (b"{}", ""), (b"{}", "application/json"), (b"\xff", OCI_MANIFEST), (b"x", "no/type?"),
        (b"{}", "application/vnd.docker.distribution.manifest.v1+prettyjws"),
    ]:  # fmt: skip
        answer = await lab.push_manifest("a/b", "bad", data, media_type)
        assert (answer.status, answer.code) == (400, "MANIFEST_INVALID"), (data, media_type)
    sparse = await lab.push_manifest("a/b", "bad", index_of(b"elsewhere"), OCI_INDEX)
    assert (sparse.status, sparse.code) == (404, "MANIFEST_BLOB_UNKNOWN")
    assert (await lab.ask("GET", "/v2/a/b/manifests/bad")).status == 404


async def test_sparse_indexes_may_be_allowed(tmp_path: Path) -> None:
    async with registry_lab(tmp_path, **{"allow-sparse": True}) as lab:
        answer = await lab.push_manifest("a/b", "x", index_of(b"elsewhere"), OCI_INDEX)
        assert answer.status == 201


async def test_a_large_manifest_is_refused(tmp_path: Path) -> None:
    async with registry_lab(tmp_path, **{"manifest-limit": "1k"}) as lab:
        answer = await lab.push_manifest("a/b", "x", b"x" * 1025, "a/b")
        assert (answer.status, answer.code) == (413, "SIZE_INVALID")

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield b"x" * 1000

        answer = await lab.ask("PUT", "/v2/a/b/manifests/x", endless(), Content_Type="a/b")
        assert answer.status == 413
        assert (await lab.push_manifest("a/b", "x", b"x" * 1024, "a/b")).status == 201


async def test_unknown_types_are_kept_as_they_are(lab: RegistryLab) -> None:
    for data, media_type in ((b"\x00\xff anything", "application/vnd.own"), (b"{ }\n", "a/b+json")):
        answer = await lab.push_manifest("a/b", "own", data, media_type + "; charset=utf-8")
        assert answer.status == 201
        found = await lab.ask("GET", "/v2/a/b/manifests/own")
        assert (found.body, found.headers["Content-Type"]) == (data, media_type)


async def test_layers_that_are_elsewhere_need_not_be_here(lab: RegistryLab) -> None:
    good = json.loads(await lab.push_image("a/b", "v1", DATA))
    foreign = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "digest": MISSING, "size": 3,
    }  # fmt: skip
    answer = await lab.push_manifest("a/b", "v2", json.dumps(good | {"layers": [foreign]}).encode())
    assert answer.status == 201


async def test_conditional_pushes(lab: RegistryLab) -> None:
    first = await lab.push_image("a/b", "v1", DATA)
    second = await lab.push_image("a/b", "v2", b"other")
    path = "/v2/a/b/manifests/v1"
    exists = await lab.ask("PUT", path, second, Content_Type=OCI_MANIFEST, If_None_Match="*")
    changed = await lab.ask(
        "PUT", path, second, Content_Type=OCI_MANIFEST, If_Match=f'"{digest_of(second)}"'
    )
    assert (exists.status, changed.status) == (412, 412)
    fits = await lab.ask(
        "PUT", path, second, Content_Type=OCI_MANIFEST, If_Match=f'"{digest_of(first)}"'
    )
    assert fits.status == 201


async def test_tags_and_manifests_are_deleted(lab: RegistryLab) -> None:
    manifest = await lab.push_image("a/b", "v1", DATA)
    await lab.push_manifest("a/b", "v2", manifest)
    await lab.push_image("a/b", "other", b"more")
    assert (await lab.ask("DELETE", "/v2/a/b/manifests/v1")).status == 202
    assert (await lab.ask("DELETE", "/v2/a/b/manifests/v1")).code == "MANIFEST_UNKNOWN"
    path = f"/v2/a/b/manifests/{digest_of(manifest)}"
    assert (await lab.ask("GET", path)).status == 200
    assert (await lab.ask("DELETE", path)).status == 202
    assert (await lab.ask("GET", path)).status == 404
    assert (await lab.ask("GET", "/v2/a/b/manifests/v2")).status == 404
    assert (await lab.ask("GET", "/v2/a/b/tags/list")).json["tags"] == ["other"]


async def test_pages_of_tags(lab: RegistryLab) -> None:
    manifest = await lab.push_image("a/b", "t00", DATA)
    names = sorted([f"t{number:02}" for number in range(12)] + ["T", "_", "a.b-c"])
    await lab.ask(
        "PUT", f"/v2/a/b/manifests/{digest_of(manifest)}?" + "&".join(f"tag={n}" for n in names),
        manifest, Content_Type=OCI_MANIFEST,
    )  # fmt: skip
    found: list[str] = []
    path = "/v2/a/b/tags/list?n=4"
    while path:
        answer = await lab.ask("GET", path)
        found += answer.json["tags"]
        link = answer.headers.get("Link", "")
        assert not link or link.endswith('>; rel="next"')
        path = link.partition("<")[2].partition(">")[0]
    assert found == names
    exact = await lab.ask("GET", f"/v2/a/b/tags/list?n={len(names)}")
    assert "Link" not in exact.headers
    none = await lab.ask("GET", "/v2/a/b/tags/list?n=0")
    assert (none.json["tags"], "Link" in none.headers) == ([], False)
    assert (await lab.ask("GET", "/v2/a/b/tags/list?last=t10")).json["tags"] == ["t11"]
    assert (await lab.ask("GET", "/v2/never/tags/list")).code == "NAME_UNKNOWN"
    for n in ("-1", "x", "", "1" * 30, "%D9%A3"):
        assert (await lab.ask("GET", f"/v2/a/b/tags/list?n={n}")).status == 400


async def test_the_catalogue(lab: RegistryLab) -> None:
    names = ["a", "a-b/c", "a.b", "a/b", "a0"]
    for name in names:
        await lab.push_blob(name, b"x")
    assert (await lab.ask("GET", "/v2/_catalog")).json == {"repositories": sorted(names)}
    page = await lab.ask("GET", "/v2/_catalog?n=2&last=a")
    assert page.json == {"repositories": sorted(names)[1:3]}
    assert page.headers["Link"] == '</v2/_catalog?n=2&last=a.b>; rel="next"'


async def test_referrers(lab: RegistryLab) -> None:
    subject = await lab.push_image("a/b", "v1", DATA)
    named = {"mediaType": OCI_MANIFEST, "digest": digest_of(subject), "size": len(subject)}
    signed = await lab.push_image(
        "a/b", "sig", b"s", subject=named, artifactType="a/sig", annotations={"k": "v"}
    )
    plain = await lab.push_image("a/b", "plain", b"p", subject=named)
    index = index_of(subject, subject=named, artifactType="a/index")
    answer = await lab.push_manifest("a/b", "index", index, OCI_INDEX)
    assert answer.headers["OCI-Subject"] == digest_of(subject)
    path = f"/v2/a/b/referrers/{digest_of(subject)}"
    found = await lab.ask("GET", path)
    assert found.headers["Content-Type"] == OCI_INDEX
    by_digest = {entry["digest"]: entry for entry in found.json["manifests"]}
    assert by_digest.keys() == {digest_of(signed), digest_of(plain), digest_of(index)}
    assert by_digest[digest_of(signed)]["annotations"] == {"k": "v"}
    # Without a type of its own an artifact is what its configuration is.
    assert by_digest[digest_of(plain)]["artifactType"] == "application/vnd.oci.image.config.v1+json"
    filtered = await lab.ask("GET", f"{path}?artifactType=a/sig")
    assert [entry["digest"] for entry in filtered.json["manifests"]] == [digest_of(signed)]
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    await lab.ask("DELETE", f"/v2/a/b/manifests/{digest_of(signed)}")
    assert len((await lab.ask("GET", path)).json["manifests"]) == 2
    empty = await lab.ask("GET", f"/v2/never/referrers/{MISSING}")
    assert (empty.status, empty.json["manifests"]) == (200, [])
    assert (await lab.ask("GET", "/v2/a/b/referrers/x")).status == 400


async def test_pages_of_referrers(lab: RegistryLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.distribution.http.discovery._REFERRERS_PAGE", 2)
    named = {"mediaType": OCI_MANIFEST, "digest": MISSING, "size": 3}
    pushed = {digest_of(await lab.push_image("a", f"t{n}", b"x", subject=named)) for n in range(5)}
    path, found = f"/v2/a/referrers/{MISSING}", []
    while path:
        answer = await lab.ask("GET", path)
        found += [entry["digest"] for entry in answer.json["manifests"]]
        path = answer.headers.get("Link", "").partition("<")[2].partition(">")[0]
    assert sorted(found) == sorted(pushed)


async def test_names_and_methods(lab: RegistryLab) -> None:
    for name in ("UPPER", "a//b", "-a", "a" * 256, "a/%2e%2e/b", "a_/b"):
        answer = await lab.ask("GET", f"/v2/{name}/tags/list")
        assert (answer.status, answer.code) == (400, "NAME_INVALID"), name
    answer = await lab.ask("POST", "/v2/a/tags/list")
    assert (answer.status, answer.code, answer.headers["Allow"]) == (
        405,
        "UNSUPPORTED",
        "GET, HEAD",
    )
    assert (await lab.ask("GET", "/v2/a/blobs/uploads/")).status == 405


async def test_read_only(tmp_path: Path) -> None:
    async with registry_lab(tmp_path) as lab:
        await lab.push_image("a/b", "v1", DATA)
    async with registry_lab(tmp_path, **{"read-only": True}) as lab:
        assert (await lab.ask("GET", "/v2/a/b/manifests/v1")).status == 200
        for method, path in (
            ("POST", "/v2/a/b/blobs/uploads/"),
            ("DELETE", "/v2/a/b/manifests/v1"),
            ("PUT", "/v2/a/b/manifests/v2"),
        ):
            answer = await lab.ask(method, path)
            assert (answer.status, answer.code) == (405, "UNSUPPORTED")


async def test_one_root_has_one_server(tmp_path: Path) -> None:
    from tiffin.errors import InvalidArgument

    async with registry_lab(tmp_path):
        with pytest.raises(InvalidArgument, match="used by another"):
            async with registry_lab(tmp_path):
                pass


async def test_operations(lab: RegistryLab) -> None:
    await lab.push_blob("a/b", DATA)
    await lab.ask("GET", f"/v2/a/b/blobs/{DIGEST}")
    assert (await lab.ask("GET", "/healthz")).json == {"status": "ok"}
    metrics = (await lab.ask("GET", "/metrics")).body.decode()
    assert 'requests_total{endpoint="blob",method="GET",status="200"} 1\n' in metrics
    assert f'response_bytes_total{{endpoint="blob"}} {len(DATA)}\n' in metrics
    for line in metrics.splitlines():
        assert line.startswith("#") or float(line.rpartition(" ")[2]) >= 0


async def test_a_full_disk_is_told(lab: RegistryLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # fmt: skip  # noqa: E501
    def full(fd: int, data: object) -> None:
        raise OSError(28, "No space left on device")

    location = await begin(lab)
    monkeypatch.setattr("tiffin.fs.atomic.write_all", full)
    answer = await lab.ask("PATCH", location, DATA)
    assert answer.status == 507
    monkeypatch.undo()
    assert (await lab.ask("GET", location)).code == "BLOB_UPLOAD_UNKNOWN"
    assert not os.listdir(tmp_path / "root" / "uploads")
    assert await lab.push_blob("a/b", DATA) == DIGEST


async def test_simultaneous_uploads_of_one_blob(lab: RegistryLab, tmp_path: Path) -> None:
    await asyncio.gather(*(lab.push_blob(f"repo{n % 3}", DATA) for n in range(12)))
    blobs = list((tmp_path / "root" / "data" / "blobs").rglob("*"))
    assert len([path for path in blobs if path.is_file()]) == 1
    for n in range(3):
        assert (await lab.ask("GET", f"/v2/repo{n}/blobs/{DIGEST}")).body == DATA


async def test_two_writers_of_one_upload_take_turns(lab: RegistryLab) -> None:
    location = await begin(lab)
    answers: list[Answer] = await asyncio.gather(
        *(lab.ask("PATCH", location, bytes([n]) * 1000, Content_Range="0-999") for n in range(4))
    )
    assert sorted(answer.status for answer in answers) == [202, 416, 416, 416]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
    st.lists(
        st.sampled_from(["v2", "a", "blobs", "uploads", "manifests", "tags", "list", "referrers",
                         "_catalog", "..", "%00", "%ff", "%2F", DIGEST, "sha512:x", "", "latest"]),
        max_size=7,
    ),
    st.dictionaries(
        st.sampled_from(["digest", "mount", "from", "n", "last", "tag", "digest-algorithm"]),
        st.sampled_from(["", "%00", "x", DIGEST, "-1", "a/b", "sha256:", "%F0%9F%90%B3"]), max_size=3,
    ),
    st.dictionaries(
        st.sampled_from(["Range", "Content-Range", "If-None-Match", "Authorization", "Content-Type"]),
        st.sampled_from(["", "bytes=0-", "5-1", "*", "Basic !", "a/b", "\xff"]), max_size=3,
    ),
)  # fmt: skip
async def test_no_request_is_our_fault(
    tmp_path_factory: pytest.TempPathFactory, method: str, path: list[str],
    query: dict[str, str], headers: dict[str, str],
) -> None:  # fmt: skip
    target = "/v2/" + "/".join(path) + "?" + "&".join(f"{k}={v}" for k, v in query.items())
    async with registry_lab(tmp_path_factory.mktemp("fuzz")) as lab:
        reader, writer = await asyncio.open_connection(lab.base.host, lab.base.port)
        lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close", "Content-Length: 2"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n{}")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        await writer.wait_closed()
    status = int(answer.split(b" ", 2)[1])
    assert status < 500, answer
