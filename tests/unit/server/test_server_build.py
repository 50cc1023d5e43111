import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
import pytest
from tests.unit.server.server_serving import Serve

from tiffin.api.types.build import PruneReport
from tiffin.build.executor import RunLimits
from tiffin.engine.build.request import BuildRequest, PruneRequest
from tiffin.engine.commit import CommitRequest
from tiffin.errors import InvalidArgument, NotFound
from tiffin.layers.compression import Source
from tiffin.server.routes import build, commit
from tiffin.spec.digest import Digest, digest_bytes
from tiffin.spec.platform import Platform

Batches = AsyncGenerator[list[Mapping[str, Any]], None]


class FakeBuilds:
    def __init__(self) -> None:
        self.requests: list[BuildRequest] = []
        self.bodies: list[bytes] = []
        self.cancelled: list[str] = []
        self.pruned: list[PruneRequest] = []
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()

    async def build(self, request: BuildRequest, body: Source) -> Batches:
        self.requests.append(request)
        try:
            data = await asyncio.to_thread(body.read, 1 << 20)
            self.bodies.append(data)
            if data == b"bad":
                raise InvalidArgument("dockerfile parse error")
            yield [{"stream": "Step 1/1 : FROM x\n"}, {"stream": " ---> 1\n"}]
            if data == b"fail":
                yield [{"errorDetail": {"code": 3, "message": "no"}, "error": "no"}]
            if data == b"wait":
                self.begun.set()
                await asyncio.sleep(60)
        finally:
            self.ended.set()

    def cancel(self, identity: str) -> None:
        self.cancelled.append(identity)

    async def prune(self, request: PruneRequest) -> PruneReport:
        self.pruned.append(request)
        return PruneReport(caches_deleted=["a"], space_reclaimed=7)


@pytest.fixture
def builds() -> FakeBuilds:
    return FakeBuilds()


async def test_the_output_is_json_lines(serve: Serve, builds: FakeBuilds) -> None:
    client = (await serve(build.routes(builds))).client
    async with client.post("/v1.41/build", data=b"tar") as answer:
        assert answer.status == 200
        assert answer.content_type == "application/json"
        lines = [json.loads(line) for line in (await answer.read()).splitlines()]
    assert lines == [{"stream": "Step 1/1 : FROM x\n"}, {"stream": " ---> 1\n"}]
    assert builds.bodies == [b"tar"]


async def test_errors_before_and_after_the_first_line(serve: Serve, builds: FakeBuilds) -> None:
    client = (await serve(build.routes(builds))).client
    async with client.post("/build", data=b"bad") as answer:
        assert (answer.status, await answer.json()) == (400, {"message": "dockerfile parse error"})
    async with client.post("/build", data=b"fail") as answer:
        assert answer.status == 200
        last = json.loads((await answer.read()).splitlines()[-1])
    assert last == {"errorDetail": {"code": 3, "message": "no"}, "error": "no"}


async def test_a_client_that_leaves_ends_the_build(serve: Serve, builds: FakeBuilds) -> None:
    client = (await serve(build.routes(builds))).client
    with pytest.raises(TimeoutError):
        async with client.post(
            "/build", data=b"wait", timeout=aiohttp.ClientTimeout(total=0.5)
        ) as answer:
            await answer.read()
    await asyncio.wait_for(builds.ended.wait(), 10)


async def test_every_parameter(serve: Serve, builds: FakeBuilds) -> None:
    client = (await serve(build.routes(builds))).client
    auths = base64.urlsafe_b64encode(b'{"reg.test":{"username":"u","password":"p"}}').decode()
    query = [
        ("dockerfile", "d/F"), ("t", "one"), ("t", "two:2"), ("t", "one:latest"), ("remote", ""),
        ("q", "1"), ("nocache", "true"), ("pull", "1"), ("buildid", "id"),
        ("cachefrom", '["a","b"]'), ("buildargs", '{"A":"1","B":null}'), ("labels", '{"l":"v"}'),
        ("target", "stage"), ("platform", "linux/arm64"), ("networkmode", "host"),
        ("memory", "8388608"), ("memswap", "-1"), ("cpushares", "2"), ("cpusetcpus", "0-1"),
        ("cpusetmems", "0"), ("cpuperiod", "3"), ("cpuquota", "4"), ("shmsize", "5"),
        ("ulimits", '[{"Name":"nofile","Hard":2,"Soft":1}]'), ("extrahosts", '["a:1"]'),
        ("cgroupparent", "/p"), ("version", "1"), ("rm", "1"), ("forcerm", "1"),
    ]  # fmt: skip
    async with client.post(
        "/build", params=query, data=b"x", headers={"X-Registry-Config": auths}
    ) as answer:
        assert answer.status == 200
    found = builds.requests[0]
    assert [name.familiar for name in found.names] == ["one:latest", "two:2"]
    assert (found.dockerfile, found.identity, found.target) == ("d/F", "id", "stage")
    assert found.quiet
    assert found.no_cache
    assert found.pull
    assert found.cache_from == ("a", "b")
    assert found.arguments == {"A": "1", "B": None}
    assert found.labels == {"l": "v"}
    assert found.platform == Platform("linux", "arm64")
    assert found.network == "host"
    assert found.credentials["reg.test"].username == "u"
    assert found.limits == RunLimits(
        8388608, -1, 2, "0-1", "0", 3, 4, 5, (("nofile", 1, 2),), ("a:1",), "/p"
    )


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("version=2", 501, "BuildKit sessions"), ("version=3", 400, "invalid version 3"),
        ("t=UPPER", 400, "must be lowercase"), ("t=a@sha256:" + "0" * 64, 400, "digest"),
        ("buildargs=[]", 400, "error reading buildargs"), ("labels=x", 400, "error reading labels"),
        ("cachefrom={}", 400, "error reading cachefrom"), ("memory=x", 400, "memory"),
        ("memory=1", 400, "Minimum memory limit allowed is 6MB"), ("squash=1", 400, "squash"),
        ("ulimits=7", 400, "error reading ulimits"), ("platform=!", 400, "platform"),
        ("extrahosts=nope", 400, "bad format for add-host"), ("shmsize=-1", 400, "SHM size"),
        ("outputs=[{}]", 400, "outputs"), ("platform=linux/a,linux/b", 400, "multiple platforms"),
    ],
)  # fmt: skip
async def test_bad_parameters(
    serve: Serve, builds: FakeBuilds, query: str, status: int, message: str
) -> None:
    client = (await serve(build.routes(builds))).client
    async with client.post(f"/build?{query}", data=b"x") as answer:
        assert answer.status == status
        assert message in (await answer.json())["message"]
    assert builds.requests == []


async def test_cancel_and_prune(serve: Serve, builds: FakeBuilds) -> None:
    client = (await serve(build.routes(builds))).client
    async with client.post("/build/cancel?id=x") as answer:
        assert answer.status == 204
    async with client.post("/build/cancel") as answer:
        assert answer.status == 400
    assert builds.cancelled == ["x"]
    async with client.post("/build/prune?all=1&keep-storage=5") as answer:
        assert await answer.json() == {"CachesDeleted": ["a"], "SpaceReclaimed": 7}
    assert builds.pruned[0].everything
    assert builds.pruned[0].reserved_space == 5


class FakeCommits:
    def __init__(self) -> None:
        self.requests: list[CommitRequest] = []

    async def commit(self, request: CommitRequest) -> Digest:
        self.requests.append(request)
        if request.container == "ghost":
            raise NotFound("No such container: ghost")
        return digest_bytes(b"image")


async def test_commit(serve: Serve) -> None:
    commits = FakeCommits()
    client = (await serve(commit.routes(commits))).client
    query = [("container", "c"), ("repo", "r"), ("tag", "t"), ("comment", "m"), ("author", "a"),
             ("pause", "0"), ("changes", "ENV A=1"), ("changes", "USER u")]  # fmt: skip
    async with client.post("/commit", params=query) as answer:
        assert (answer.status, await answer.json()) == (201, {"Id": digest_bytes(b"image")})
    async with client.post("/commit?container=c", json={"Cmd": ["x"]}) as answer:
        assert answer.status == 201
    json_type = {"Content-Type": "application/json"}
    async with client.post("/commit?container=c", data=b"null", headers=json_type) as answer:
        assert answer.status == 201
    first, second, third = commits.requests
    assert first.name is not None
    assert first.name.familiar == "r:t"
    assert (first.comment, first.author, first.pause) == ("m", "a", False)
    assert (first.changes, first.config) == (("ENV A=1", "USER u"), None)
    assert second.name is None
    assert second.pause
    assert second.config is not None
    assert second.config.cmd == ["x"]
    assert third.config is None
    async with client.post("/commit?container=ghost") as answer:
        assert answer.status == 404
    async with client.post("/commit?container=c&repo=UP") as answer:
        assert answer.status == 400
