"""The service on real stores: streams, cancellation, recovery, pruning, commit; tasks are faked."""

import asyncio
import io
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, cast

import pytest
from tests.root.build.build_rig import Rig, tar_of

from tiffin.api.filters import Filters
from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig
from tiffin.build.tree import SNAPSHOT_PREFIX
from tiffin.engine.build.request import BuildRequest, PruneRequest
from tiffin.engine.build.service import Builds
from tiffin.engine.commit import CommitRequest, Commits
from tiffin.engine.containers.model import Container, ContainerSpec
from tiffin.engine.containers.status import Status
from tiffin.engine.events import Events
from tiffin.engine.networks.contract import Allocation, ContainerNetworks
from tiffin.engine.roots import Roots
from tiffin.engine.tasks.contract import Exit, TaskRequest
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.spec.ids import ContainerId, new_id
from tiffin.spec.reference import parse_reference

pytestmark = pytest.mark.root


class FakeHandle:
    """Says something; ends at once, or when it is deleted."""

    def __init__(self, tasks: "FakeTasks", request: TaskRequest) -> None:
        self.tasks = tasks
        self.output = os.dup(request.attachments[0].fd)
        self.config = json.loads((request.bundle / "config.json").read_text())
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self.warnings = ("a limit was lowered",)
        self.sandbox = None

    async def start(self, forwards: object = ()) -> None:
        os.write(self.output, b"hello from " + self.config["process"]["args"][-1].encode() + b"\n")
        self.tasks.started.set()
        if not self.tasks.hangs:
            self.ended.set_result(Exit(self.tasks.code, 0))
            os.close(self.output)

    async def wait(self) -> Exit:
        return await asyncio.shield(self.ended)

    async def delete(self) -> None:
        self.tasks.deleted += 1
        if not self.ended.done():
            self.ended.set_result(Exit(137, 0))
            os.close(self.output)


class FakeTasks:
    def __init__(self) -> None:
        self.handles: list[FakeHandle] = []
        self.code = 0
        self.hangs = False
        self.started = asyncio.Event()
        self.deleted = 0
        self.alive: set[str] = set()

    async def create(self, request: TaskRequest) -> FakeHandle:
        self.handles.append(FakeHandle(self, request))
        return self.handles[-1]

    async def recover(self, container_id: ContainerId) -> Any:  # noqa: ANN401
        if container_id not in self.alive:
            return None
        tasks = self

        class Left:
            async def delete(self) -> None:
                tasks.alive.discard(container_id)

        return Left()


class FakeNetworks:
    def __init__(self) -> None:
        self.held: set[str] = set()
        self.modes: list[str] = []

    async def allocate(self, container: ContainerNetworks) -> Allocation:
        self.held.add(container.id)
        self.modes.append(container.network_mode)
        return Allocation(container.id, new_netns=False, hosts="", resolv_conf="", hostname="h")

    async def release(self, container_id: ContainerId) -> None:
        self.held.discard(container_id)

    async def forget(self, container_id: ContainerId) -> None:
        self.held.discard(container_id)


class NoPulls:
    async def pull(self, request: Any, emit: Any) -> Image:  # noqa: ANN401
        raise NotFound(f"pull access denied for {request.reference.familiar_repository}")


class Service:
    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.roots = Roots(rig.root, rig.root / "exec")
        self.tasks = FakeTasks()
        self.networks = FakeNetworks()
        self.events = Events()
        self.builds = self.make()

    def make(self) -> Builds:
        return Builds(self.roots, self.rig.store, NoPulls(), cast("Any", self.tasks),
                      cast("Any", self.networks), cast("Any", None), self.events)  # fmt: skip

    async def build(self, dockerfile: str, **options: Any) -> list[Mapping[str, Any]]:  # noqa: ANN401
        body = io.BytesIO(tar_of({"Dockerfile": dockerfile, "a": "1"}))
        request = BuildRequest(**options)
        return [line async for batch in self.builds.build(request, body) for line in batch]

    def leftovers(self) -> list[str]:
        places = [self.roots.build_cache / "work", self.roots.build_cache / "running",
                  self.roots.tasks]  # fmt: skip
        found = [str(path) for place in places if place.exists() for path in place.iterdir()]
        return [*found, *self.rig.leftovers(), *self.networks.held]


@pytest.fixture
async def service(rig: Rig) -> AsyncIterator[Service]:
    rig.cache.close()  # one connection at a time: descriptors are counted
    made = Service(rig)
    rig.cache = made.builds._cache
    yield made
    assert made.leftovers() == []
    made.builds.close()


def text(lines: list[Mapping[str, Any]]) -> str:
    return "".join(str(line.get("stream", "")) for line in lines)


async def test_output_of_a_build(service: Service) -> None:
    lines = await service.build("FROM base:1\nCOPY a /\nRUN talk\n", network="none",
                                names=(parse_reference("out:1"),))  # fmt: skip
    shown = text(lines)
    assert "hello from talk\n" in shown
    assert "[Warning] a limit was lowered\n" in shown
    image = service.rig.store.resolve("out:1")
    assert {"aux": {"ID": image.id}} in lines
    assert shown.endswith("Successfully tagged out:1\n")
    assert service.networks.modes == ["none"]
    assert service.tasks.deleted == 1
    quiet = await service.build("FROM base:1\nCOPY a /\nRUN talk\n", network="none", quiet=True)
    assert quiet == [{"stream": f"{image.id}\n"}]


async def test_a_failed_run(service: Service) -> None:
    service.tasks.code = 5
    for quiet in (False, True):
        lines = await service.build("FROM base:1\nRUN talk\n", quiet=quiet)
        message = "The command '/bin/sh -c talk' returned a non-zero code: 5"
        assert lines[-1] == {"errorDetail": {"code": 5, "message": message}, "error": message}
        assert "hello from talk\n" in text(lines)


async def test_errors_before_any_output_are_raised(service: Service) -> None:
    with pytest.raises(InvalidArgument, match="unknown instruction"):
        await service.build("FROM base:1\nFOO\n")
    with pytest.raises(NotFound, match="pull access denied for nope"):
        await service.build("FROM nope\n")


async def test_leaving_early_stops_the_process(service: Service) -> None:
    service.tasks.hangs = True
    body = io.BytesIO(tar_of({"Dockerfile": "FROM base:1\nRUN talk\n"}))
    async with aclosing(service.builds.build(BuildRequest(), body)) as batches:
        async for batch in batches:
            if any("hello" in str(line) for line in batch):
                break
    assert service.tasks.deleted == 1
    assert service.leftovers() == []


async def test_cancelling_by_id(service: Service) -> None:
    service.tasks.hangs = True
    running = asyncio.create_task(service.build("FROM base:1\nRUN talk\n", identity="me"))
    await service.tasks.started.wait()
    with pytest.raises(Conflict, match="already under way"):
        await service.build("FROM base:1\n", identity="me")
    service.builds.cancel("me")
    service.builds.cancel("other")
    lines = await running
    assert lines[-1]["error"] == "build cancelled"
    assert service.tasks.deleted == 1


async def test_recovery(service: Service) -> None:
    identifier = new_id()
    service.tasks.alive.add(identifier)
    service.networks.held.add(identifier)
    running = service.roots.build_cache / "running" / identifier
    for place in (running, service.roots.task(ContainerId(identifier)),
                  service.roots.build_cache / "work" / "context"):  # fmt: skip
        place.mkdir(parents=True)
        (place / "file").touch()
    service.rig.store.snapshotter.prepare(f"{SNAPSHOT_PREFIX}left", "")
    await service.builds.recover()
    assert service.tasks.alive == set()
    assert service.leftovers() == []


async def test_the_cache_is_listed_and_pruned(service: Service) -> None:
    dockerfile = "FROM base:1\nCOPY a /\nENV A=1\n"
    await service.build(dockerfile, names=(parse_reference("kept:1"),))
    listed = await service.builds.disk_usage()
    assert [(r.description, r.shared) for r in listed] == [("COPY a /", True), ("ENV A=1", False)]
    assert listed[1].parents == [listed[0].id]
    report = await service.builds.prune(PruneRequest())
    assert report.caches_deleted == [listed[1].id]
    assert report.space_reclaimed == 0
    image = service.rig.store.resolve("kept:1")
    service.rig.store.remove(image.id)
    assert service.rig.store.unpacker.has(image.chain_id)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="invalid filter 'x'"):
        await service.builds.prune(PruneRequest(filters=Filters({"x": ["1"]})))
    nothing = await service.builds.prune(PruneRequest(filters=Filters({"until": ["24h"]})))
    assert nothing.caches_deleted == []
    report = await service.builds.prune(PruneRequest(everything=True))
    assert report.caches_deleted == [listed[0].id]
    assert report.space_reclaimed > 0
    assert not service.rig.store.unpacker.has(image.chain_id)  # type: ignore[arg-type]
    assert await service.builds.disk_usage() == []


class FakeContainers:
    def __init__(self, container: Container) -> None:
        self.container = container
        self.calls: list[str] = []

    def find(self, reference: str) -> Container:
        if reference != "c":
            raise NotFound(f"No such container: {reference}")
        return self.container

    async def pause(self, reference: str) -> None:
        self.calls.append("pause")

    async def unpause(self, reference: str) -> None:
        self.calls.append("unpause")


async def test_commit(rig: Rig) -> None:
    base = rig.store.resolve("base:1")
    identifier = ContainerId(new_id())
    rig.store.snapshotter.prepare(identifier, base.chain_id)
    upper = rig.store.snapshotter.upper(identifier)
    assert upper is not None
    (upper / "made").write_text("by hand")
    config = Config(env=["A=1"], cmd=["run", "it"], image="base:1", labels={"l": "v"})
    spec = ContainerSpec(identifier, 0, base.id, base.chain_id, "linux", config, HostConfig())
    container = Container(spec, "c")
    containers = FakeContainers(container)
    commits = Commits(rig.store, containers, Events())
    made = await commits.commit(CommitRequest("c", parse_reference("done:1"), "why", "me"))
    image = rig.store.resolve("done:1")
    assert image.id == made
    assert rig.read(image, "made") == "by hand"
    assert image.config.config.cmd == ("run", "it")
    assert image.config.author == "me"
    last = image.config.history[-1]
    assert (last.created_by, last.comment, last.author) == ("run it", "why", "me")
    assert containers.calls == []
    container.instance.status = Status.RUNNING
    await commits.commit(CommitRequest("c", changes=("USER u",)))
    assert containers.calls == ["pause", "unpause"]
    await commits.commit(CommitRequest("c", pause=False))
    assert containers.calls == ["pause", "unpause"]
    with pytest.raises(InvalidArgument, match="RUN is not a valid change command"):
        await commits.commit(CommitRequest("c", changes=("RUN x",)))
    with pytest.raises(NotFound):
        await commits.commit(CommitRequest("other"))
    container.instance.status = Status.REMOVING
    with pytest.raises(Conflict, match="which is being removed"):
        await commits.commit(CommitRequest("c"))
    rig.store.snapshotter.remove(identifier)
