"""The image routes, over HTTP, with the real service behind them."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.unit.server.server_serving import Serve

from tiffin.server.routes import distribution, images
from tiffin.spec.digest import digest_bytes, hex_of
from tiffin.testing.fake_registry import FakeRegistry
from tiffin.testing.image_lab import BASE, ONE, TWO, ServiceLab
from tiffin.testing.sample_images import SampleImage, archive, docker_members


class Api:
    """Asks the routes."""

    def __init__(self, client: aiohttp.ClientSession, lab: ServiceLab) -> None:
        self.client = client
        self.lab = lab

    async def json(self, method: str, path: str, **options: Any) -> tuple[int, Any]:  # noqa: ANN401  # as aiohttp
        async with self.client.request(method, path, **options) as response:
            data = await response.read()
            return response.status, json.loads(data) if data else None

    async def lines(self, path: str, **options: Any) -> tuple[int, list[dict[str, Any]]]:  # noqa: ANN401
        async with self.client.post(path, **options) as response:
            data = await response.read()
            return response.status, [json.loads(line) for line in data.splitlines()]


@pytest.fixture
async def api(tmp_path: Path, serve: Serve) -> AsyncIterator[Api]:
    lab = ServiceLab(tmp_path / "lab")
    served = await serve([*images.routes(lab.service), *distribution.routes(lab.service)])
    yield Api(served.client, lab)
    lab.close()


async def test_list_by_version(api: Api) -> None:
    api.lab.put(TWO)
    for version, tags, extra in (
        ("1.24", ["<none>:<none>"], {"VirtualSize"}),
        ("1.43", [], {"VirtualSize"}),
        ("1.47", [], set()),
        ("1.50", [], {"Descriptor"}),
    ):
        status, found = await api.json("GET", f"/v{version}/images/json")
        assert status == 200
        (summary,) = found
        assert summary["RepoTags"] == tags
        assert set(summary) - extra == {
            "Id", "ParentId", "RepoTags", "RepoDigests", "Created", "Size", "SharedSize",
            "Labels", "Containers",
        }  # fmt: skip
    status, found = await api.json("GET", "/images/json?manifests=1&shared-size=1")
    assert found[0]["Manifests"][0]["Kind"] == "image"
    assert found[0]["SharedSize"] == 0
    status, found = await api.json("GET", "/images/json", params={"filters": '{"x":["y"]}'})
    assert (status, found) == (400, {"message": "invalid filter 'x'"})
    status, found = await api.json("GET", "/v1.40/images/json?filter=nothing")
    assert found == []


async def test_inspect_history_tag_remove(api: Api) -> None:
    api.lab.put(TWO, "r.example/team/two:v1")
    status, found = await api.json("GET", "/images/r.example/team/two:v1/json")
    assert (status, found["Id"]) == (200, TWO.id)
    status, found = await api.json("GET", f"/v1.40/images/{TWO.id}/json")
    assert found["Config"]["Hostname"] == ""
    assert {"ContainerConfig", "VirtualSize"} <= set(found)
    wanted = json.dumps({"os": "linux", "architecture": "s390x"})
    status, found = await api.json("GET", f"/images/{TWO.id}/json", params={"platform": wanted})
    assert status == 404
    assert "does not match the specified platform (linux/s390x)" in found["message"]
    status, found = await api.json("GET", "/images/r.example/team/two:v1/history")
    assert [step["Size"] > 0 for step in found] == [False, True, True]
    path = "/images/r.example/team/two:v1/tag?repo=other&tag=x"
    assert (await api.json("POST", path))[0] == 201
    status, found = await api.json("POST", "/images/other:x/tag?repo=Bad")
    assert status == 400
    assert "must be lowercase" in found["message"]
    assert (await api.json("POST", "/images/other:x/tag"))[0] == 400
    status, found = await api.json("DELETE", f"/images/{hex_of(TWO.id)[:12]}")
    assert status == 409
    assert "multiple repositories" in found["message"]
    status, found = await api.json("DELETE", "/images/other:x")
    assert (status, found) == (200, [{"Untagged": "other:x"}])
    status, found = await api.json("DELETE", "/images/other:x")
    assert (status, found) == (404, {"message": "No such image: other:x"})
    status, found = await api.json(
        "POST", "/images/prune", params={"filters": '{"dangling":["0"]}'}
    )
    assert status == 200
    assert found["SpaceReclaimed"] > 0
    assert found["ImagesDeleted"][0] == {"Untagged": "r.example/team/two:v1"}
    assert api.lab.is_empty()


async def test_pull_and_push(api: Api) -> None:
    async with FakeRegistry(auth="basic", users={"ann": "secret"}) as registry:
        ONE.publish(registry, "app", "v1")
        auth = json.dumps({"username": "ann", "password": "secret"}).encode()
        headers = {"X-Registry-Auth": base64.urlsafe_b64encode(auth).decode()}
        query = {"fromImage": f"{registry.host}/app", "tag": "v1"}
        status, lines = await api.lines("/images/create", params=query)
        assert status == 500
        assert "no basic auth credentials" in lines[0]["message"]
        status, lines = await api.lines("/images/create", params=query, headers=headers)
        assert status == 200
        assert lines[0] == {"status": "Pulling from app", "id": "v1"}
        assert lines[-1]["status"].startswith("Status: Downloaded newer image for")
        query["tag"] = "v9"
        status, lines = await api.lines("/images/create", params=query, headers=headers)
        assert status == 404
        status, lines = await api.lines(f"/images/{registry.host}/app/push?tag=v1", headers=headers)
        assert status == 200
        assert lines[-1]["aux"]["Tag"] == "v1"
        status, lines = await api.lines(f"/images/{registry.host}/app/push?tag=v1")
        assert status == 200
        assert "no basic auth credentials" in lines[-1]["error"]
        status, lines = await api.lines(f"/images/{registry.host}/app/push?tag=v7")
        assert (status, lines) == (
            404,
            [{"message": f"tag does not exist: {registry.host}/app:v7"}],
        )
        path = f"/distribution/{registry.host}/app:v1/json"
        status, found = await api.json("GET", path, headers=headers)
        assert found["Descriptor"]["digest"] == ONE.descriptor.digest
        assert found["Platforms"][0]["os"] == "linux"
        assert (await api.json("GET", path))[0] == 401
        login = {"username": "ann", "password": "secret", "serveraddress": registry.host}
        status, found = await api.json("POST", "/auth", json=login)
        assert (status, found) == (200, {"IdentityToken": "", "Status": "Login Succeeded"})
        status, found = await api.json("POST", "/auth", json=login | {"password": "no"})
        assert status == 401
        assert found["message"].endswith("unauthorized: authentication required")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("fromImage=Foo", "must be lowercase"),
        ("fromImage=a&tag=%2F", "invalid tag format"),
        ("fromImage=a&platform=plan9", "unknown operating system or architecture"),
        ("", "neither fromImage nor fromSrc"),
        ("fromSrc=ftp://x", "invalid import source"),
        ("fromSrc=-&repo=Bad", "must be lowercase"),
        ("fromSrc=-&changes=RUN+x", "not a valid change command"),
    ],
)
async def test_bad_requests(api: Api, query: str, message: str) -> None:
    status, lines = await api.lines(f"/images/create?{query}")
    assert status == 400
    assert message in lines[0]["message"]


async def test_load_and_save(api: Api) -> None:
    data = gzip.compress(archive(docker_members(TWO, ["app:v1", "app:v2"])))
    status, lines = await api.lines("/images/load", data=data)
    assert status == 200
    assert lines[-1] == {"stream": "Loaded image: app:v2\n"}
    assert any("progressDetail" in line for line in lines)
    for path in ("/images/app:v1/get", "/images/get?names=app:v1&names=app:v2"):
        async with api.client.get(path) as response:
            assert response.content_type == "application/x-tar"
            saved = await response.read()
        status, lines = await api.lines("/images/load?quiet=1", data=saved)
        assert all("stream" in line for line in lines)
    assert (await api.json("GET", "/images/none/get"))[0] == 404
    assert (await api.json("GET", "/images/get"))[0] == 400
    status, lines = await api.lines("/images/load", data=b"no archive at all")
    assert status == 200  # as Docker: clients look for the error in the stream
    assert lines[-1]["errorDetail"]["message"] == lines[-1]["error"]
    status, lines = await api.lines("/images/load", data=data[:-10])
    assert "error" in lines[-1]


async def test_import(api: Api) -> None:
    query = {"fromSrc": "-", "repo": "made", "tag": "v1", "message": "m", "changes": "CMD x"}
    status, lines = await api.lines("/images/create", params=query, data=BASE)
    assert (status, len(lines)) == (200, 1)
    _, found = await api.json("GET", "/images/made:v1/json")
    assert found["Id"] == lines[0]["status"]
    assert found["Comment"] == "m"
    async with FakeRegistry() as source:
        digest = source.add_blob("files", BASE)
        query |= {"fromSrc": f"http://{source.host}/v2/files/blobs/{digest}", "tag": "v2"}
        status, lines = await api.lines("/images/create", params=query)
        assert status == 200
        assert lines[0]["status"].startswith("Downloading from http://")
        assert (await api.json("GET", "/images/made:v2/json"))[0] == 200


async def until_idle(api: Api) -> None:
    while api.lab.ingests() or api.lab.blobs():  # noqa: ASYNC110  # a server lets go of files
        await asyncio.sleep(0.01)


async def test_a_client_that_goes_away_during_a_load(api: Api) -> None:
    big = archive(docker_members(SampleImage((bytes(3 << 20),)), ["big"]))

    async def half() -> AsyncIterator[bytes]:
        yield big[: len(big) // 2]
        while not api.lab.ingests():  # noqa: ASYNC110  # a server writes a file
            await asyncio.sleep(0.01)
        raise ConnectionError("gone")

    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await api.lines("/images/load", data=half())
    await asyncio.wait_for(until_idle(api), 10)


async def test_a_client_that_goes_away_during_a_pull(api: Api) -> None:
    async with FakeRegistry() as registry:
        ONE.publish(registry, "app", "v1")
        blob = digest_bytes(ONE.stored[0])
        registry.faults.pauses[blob] = asyncio.Event()
        query = {"fromImage": f"{registry.host}/app", "tag": "v1"}
        async with api.client.post("/images/create", params=query) as response:
            assert json.loads(await response.content.readline())["id"] == "v1"
            while not registry.counts[f"blob {blob}"]:  # noqa: ASYNC110  # a server is asked
                await asyncio.sleep(0.01)
        while api.lab.blobs():  # noqa: ASYNC110  # a server lets go of files
            await asyncio.sleep(0.01)
    assert api.lab.store.all() == []


async def test_search_without_an_index(api: Api) -> None:
    async with FakeRegistry() as registry:
        host = registry.host
    status, found = await api.json("GET", f"/images/search?term={host}/x")
    assert status == 501
    assert f"no index to search at {host}" in found["message"]
    assert (await api.json("GET", "/images/search"))[0] == 400
