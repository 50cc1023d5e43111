import asyncio
import json
import os
import socket
from functools import partial

import pytest
from tests.unit.engine.containers.conftest import Make, until

from tiffin.api.filters import Filters
from tiffin.api.types.containers import CreateRequest
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.resources import RestartPolicy, UpdateRequest
from tiffin.engine.containers.attach import AttachOptions
from tiffin.engine.containers.service import Containers
from tiffin.engine.containers.status import Status
from tiffin.engine.containers.wait import Condition, parse_condition
from tiffin.errors import (
    Conflict,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    NotModified,
)
from tiffin.testing.fake_engine import Lab


async def test_start_and_end(lab: Lab, service: Containers, make: Make) -> None:
    container = await make("web", start=True)
    assert container.status is Status.RUNNING
    assert container.instance.pid == os.getpid()
    bundle = json.loads((lab.roots.task(container.id) / "config.json").read_bytes())
    assert bundle["process"]["args"] == ["sh"]
    waiting = asyncio.ensure_future(service.wait("web", Condition.NOT_RUNNING))
    lab.tasks.last.end(3)
    assert (await waiting).status_code == 3
    assert service.find("web").status is Status.EXITED
    assert container.instance.exit_code == 3
    assert lab.tasks.last.is_deleted
    assert lab.networks.allocated == {}
    assert lab.events.actions() == ["create", "start", "die"]
    assert lab.events.all[-1].attributes["exitCode"] == "3"
    assert lab.events.all[-1].attributes["execDuration"] == "0"
    await service.start("web")
    assert container.status is Status.RUNNING
    with pytest.raises(NotModified):
        await service.start("web")


async def test_files_of_etc(lab: Lab, make: Make) -> None:
    container = await make("web", start=True, hostname="h")
    directory = lab.roots.container(container.id)
    assert (directory / "hosts").read_text() == "127.0.0.1\tlocalhost\n"
    assert (directory / "hostname").read_text() == "h\n"
    assert (directory / "resolv.conf").read_text() == "nameserver 127.0.0.11\n"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ("exec /etc/passwd: permission denied", 126),
        ("exec /etc: is a directory", 126),
        ("something else", 128),
    ],
)
async def test_a_start_that_fails(
    lab: Lab, service: Containers, make: Make, message: str, code: int
) -> None:
    container = await make("web")
    lab.tasks.start_error = FailedPrecondition(message)
    with pytest.raises(FailedPrecondition, match="e"):
        await service.start("web")
    assert container.status is Status.CREATED
    assert container.instance.exit_code == code
    assert container.instance.error == message
    assert lab.networks.allocated == {}
    assert lab.tasks.last.is_deleted
    lab.tasks.start_error = None
    await service.start("web")
    assert container.instance.error == ""


async def test_a_failed_start_ends_pending_clients_and_removes_rm(
    lab: Lab, service: Containers, make: Make
) -> None:
    container = await make("web", host_config=HostConfig(auto_remove=True))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        await service.attach(
            container, theirs.fileno(), b"", AttachOptions(stdout=True, stream=True)
        )
        theirs.close()
        removed = asyncio.ensure_future(service.wait("web", Condition.REMOVED))
        await asyncio.sleep(0)
        lab.networks.error = Conflict("port is already allocated")
        with pytest.raises(Conflict, match="port is already allocated"):
            await service.start("web")
        await removed
        assert await asyncio.to_thread(ours.recv, 1) == b""
    with pytest.raises(NotFound):
        service.find("web")


async def test_attach_before_start_is_handed_over(
    lab: Lab, service: Containers, make: Make
) -> None:
    container = await make("web", open_stdin=True)
    ours, theirs = socket.socketpair()
    with ours:
        options = AttachOptions(stdin=True, stdout=True, stderr=True, stream=True)
        await service.attach(container, theirs.fileno(), b"early", options)
        theirs.close()
        assert len(container.pending) == 1
        await service.start("web")
        assert container.pending == []
        (attachment,) = lab.tasks.last.request.attachments
        assert (attachment.prefix, attachment.framed, attachment.stdin) == (b"early", True, True)
        # The fake takes no copy, so our closing ends the connection.
        assert await asyncio.to_thread(ours.recv, 1) == b""
    assert lab.events.actions() == ["create", "attach", "start"]


async def test_stop(lab: Lab, service: Containers, make: Make) -> None:
    container = await make("web", start=True)
    await service.stop("web")
    assert lab.tasks.last.signals == [15]
    assert (container.status, container.instance.exit_code) == (Status.EXITED, 143)
    assert lab.events.actions()[2:] == ["kill", "die", "stop"]
    with pytest.raises(NotModified):
        await service.stop("web")


async def test_stop_kills_in_the_end(lab: Lab, service: Containers, make: Make) -> None:
    lab.tasks.deadly = ()
    container = await make("web", start=True, stop_signal="SIGUSR1")
    await service.stop("web", timeout_s=0)
    assert lab.tasks.last.signals == [10, 9]
    assert container.instance.exit_code == 137


async def test_stop_of_a_paused_container_thaws_it(
    lab: Lab, service: Containers, make: Make
) -> None:
    container = await make("web", start=True)
    await service.pause("web")
    assert container.status is Status.PAUSED
    assert lab.tasks.last.is_frozen
    await service.stop("web")
    assert not lab.tasks.last.is_frozen
    assert container.status is Status.EXITED


async def test_kill(lab: Lab, service: Containers, make: Make) -> None:
    container = await make("web", start=True)
    await service.kill("web", "SIGHUP")
    await service.kill("web", "usr1")
    await service.kill("web", "RTMIN+1")
    assert lab.tasks.last.signals == [1, 10, 35]
    with pytest.raises(InvalidArgument, match=r"^invalid signal: NOPE$"):
        await service.kill("web", "NOPE")
    await service.kill("web")
    assert container.status is Status.EXITED
    with pytest.raises(Conflict) as caught:
        await service.kill("web")
    assert str(caught.value) == (
        f"cannot kill container: web: container {container.id} is not running"
    )


async def test_pause(service: Containers, make: Make) -> None:
    container = await make("web")
    with pytest.raises(Conflict, match="is not running"):
        await service.pause("web")
    await service.start("web")
    await service.pause("web")
    with pytest.raises(Conflict, match="is already paused"):
        await service.pause("web")
    with pytest.raises(Conflict, match="cannot start a paused container, try unpause instead"):
        await service.start("web")
    await service.unpause("web")
    assert container.status is Status.RUNNING
    with pytest.raises(Conflict, match="is not paused"):
        await service.unpause("web")


async def test_remove(lab: Lab, service: Containers, make: Make) -> None:
    container = await make("web", start=True)
    with pytest.raises(Conflict) as caught:
        await service.remove("web")
    assert str(caught.value) == (
        'cannot remove container "/web": container is running: stop the container before removing'
        " or force remove"
    )
    removed = asyncio.ensure_future(service.wait("web", Condition.REMOVED))
    await asyncio.sleep(0)
    await service.remove("web", force=True)
    assert (await removed).status_code == 137
    assert lab.networks.forgotten == [container.id]
    assert list(lab.context.snapshotter.walk()) == []
    assert list(lab.context.store.load()) == []
    assert not lab.roots.container(container.id).exists()
    assert lab.events.actions()[-1] == "destroy"
    await service.create(CreateRequest(image="bb"), "web")


async def test_two_removals(service: Containers, make: Make) -> None:
    container = await make("web")
    first = asyncio.ensure_future(service.remove("web"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    with pytest.raises((Conflict, NotFound)):
        await service.remove(container.id)
    await first


async def test_auto_remove(lab: Lab, service: Containers, make: Make) -> None:
    container = await make(
        "web", start=True, host_config=HostConfig(auto_remove=True), volumes={"/v": {}}
    )
    assert len(lab.volumes.labels) == 1
    removed = asyncio.ensure_future(service.wait("web", Condition.REMOVED))
    await asyncio.sleep(0)
    lab.tasks.last.end(7)
    assert (await removed).status_code == 7
    assert container.id not in lab.context.registry
    assert lab.volumes.labels == {}


async def test_restart_keeps_an_auto_remove_container(
    lab: Lab, service: Containers, make: Make
) -> None:
    container = await make("web", start=True, host_config=HostConfig(auto_remove=True))
    await service.restart("web")
    assert container.status is Status.RUNNING
    assert len(lab.tasks.handles) == 2
    assert lab.events.actions()[-1] == "restart"


def _has_made(lab: Lab, count: int) -> bool:
    return len(lab.tasks.handles) == count


async def test_restart_policy_backs_off_and_gives_up(
    lab: Lab, service: Containers, make: Make
) -> None:
    policy = RestartPolicy(name="on-failure", maximum_retry_count=2)
    container = await make("web", start=True, host_config=HostConfig(restart_policy=policy))
    for count in (1, 2):
        lab.tasks.last.end(1)
        await until(partial(_has_made, lab, count + 1))
        await until(lambda: container.status is Status.RUNNING)
        assert container.instance.restart_count == count
    lab.tasks.last.end(1)
    await until(lambda: container.status is Status.EXITED)
    assert len(lab.tasks.handles) == 3


async def test_stop_during_the_back_off(lab: Lab, service: Containers, make: Make) -> None:
    policy = RestartPolicy(name="always")
    container = await make("web", start=True, host_config=HostConfig(restart_policy=policy))
    container.delay_s = 30.0
    lab.tasks.last.end(0)
    await until(lambda: container.status is Status.RESTARTING)
    waiting = asyncio.ensure_future(service.wait("web", Condition.NOT_RUNNING))
    await asyncio.sleep(0)
    await service.stop("web")
    assert container.status is Status.EXITED
    await waiting
    assert len(lab.tasks.handles) == 1
    await service.remove("web")


async def test_a_stopped_container_is_not_restarted(
    lab: Lab, service: Containers, make: Make
) -> None:
    policy = RestartPolicy(name="always")
    container = await make("web", start=True, host_config=HostConfig(restart_policy=policy))
    await service.stop("web")
    assert container.status is Status.EXITED


async def test_oom(lab: Lab, make: Make) -> None:
    container = await make("web", start=True)
    lab.tasks.last.end(137, oom_killed=True)
    await until(lambda: container.status is Status.EXITED)
    assert container.instance.oom_killed
    assert lab.events.actions()[-2:] == ["oom", "die"]


async def test_rename(lab: Lab, service: Containers, make: Make) -> None:
    container = await make("one")
    await make("two")
    with pytest.raises(Conflict, match="Error when allocating new name: Conflict"):
        await service.rename("one", "two")
    with pytest.raises(InvalidArgument, match="same name as its current name"):
        await service.rename("one", "one")
    with pytest.raises(InvalidArgument, match="Neither old nor new names may be empty"):
        await service.rename("one", "")
    await service.rename("one", "three")
    assert service.find("three") is container
    with pytest.raises(NotFound):
        service.find("one")
    assert lab.networks.renamed == {container.id: "three"}
    assert {c.name for c in lab.context.store.load()} == {"two", "three"}
    assert lab.events.all[-1].attributes["oldName"] == "/one"


async def test_wait_conditions(lab: Lab, service: Containers, make: Make) -> None:
    await make("web")
    assert (await service.wait("web", Condition.NOT_RUNNING)).status_code == 0
    pending = asyncio.ensure_future(service.wait("web", Condition.NEXT_EXIT))
    await asyncio.sleep(0)
    await service.start("web")
    assert not pending.done()
    lab.tasks.last.end(4)
    assert (await pending).status_code == 4
    with pytest.raises(InvalidArgument, match='invalid condition: "x"'):
        parse_condition("x")


async def test_update(lab: Lab, service: Containers, make: Make) -> None:
    container = await make("web", start=True)
    policy = RestartPolicy(name="always")
    await service.update(
        "web", UpdateRequest(memory=64 << 20, memory_swap=-1, restart_policy=policy)
    )
    assert container.spec.host.memory == 64 << 20
    assert container.spec.host.restart_policy.name == "always"
    assert lab.tasks.last.resources == [{"memory": {"limit": 64 << 20, "swap": -1}}]
    with pytest.raises(InvalidArgument, match="6MB"):
        await service.update("web", UpdateRequest(memory=1))
    assert container.spec.host.memory == 64 << 20
    (loaded,) = lab.context.store.load()
    assert loaded.spec.host.memory == 64 << 20


async def test_prune(lab: Lab, service: Containers, make: Make) -> None:
    running = await make("running", start=True)
    stopped = await make("stopped", labels={"keep": "1"})
    gone = await make("gone")
    report = await service.prune(Filters({"label!": ["keep=1"]}))
    assert report.containers_deleted == [gone.id]
    assert {c.id for c in lab.context.registry} == {running.id, stopped.id}
    assert (await service.prune(Filters({"until": ["24h"]}))).containers_deleted is None
    with pytest.raises(InvalidArgument, match="invalid filter 'x'"):
        await service.prune(Filters({"x": ["1"]}))


async def test_shared_namespaces(lab: Lab, service: Containers, make: Make) -> None:
    await make("other")
    host = HostConfig(network_mode="container:other", pid_mode="container:other")
    await make("web", host_config=host)
    with pytest.raises(Conflict, match="a non running container: container other is created"):
        await service.start("web")
    await service.start("other")
    await service.start("web")
    bundle = json.loads((lab.roots.task(service.find("web").id) / "config.json").read_bytes())
    joined = {item["type"]: item.get("path", "") for item in bundle["linux"]["namespaces"]}
    assert joined["network"] == f"/proc/{os.getpid()}/ns/net"
    assert joined["pid"] == f"/proc/{os.getpid()}/ns/pid"


async def test_the_process_namespace_of_a_stopped_container(
    service: Containers, make: Make
) -> None:
    donor = await make("donor")
    await make("web", host_config=HostConfig(pid_mode="container:donor"))
    with pytest.raises(
        FailedPrecondition, match=f"^failed to join PID namespace: container {donor.id} is not"
    ):
        await service.start("web")


@pytest.mark.parametrize("limit", [-1, -2])
async def test_a_lifted_limit_of_processes_is_shown_as_none(
    service: Containers, make: Make, limit: int
) -> None:
    web = await make("web", host_config=HostConfig(pids_limit=32))
    await service.update("web", UpdateRequest(pids_limit=limit))
    assert web.spec.host.pids_limit == 0


async def test_a_client_that_goes_away_does_not_cut_a_start(
    lab: Lab, service: Containers, make: Make
) -> None:
    container = await make("web")
    starting = asyncio.create_task(service.start("web"))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await until(lambda: container.status is Status.RUNNING)


async def test_explain_names_the_steps(service: Containers, make: Make) -> None:
    await make("web")
    steps: list[str] = []
    await service.start("web", lambda step, _call: steps.append(step))
    assert steps[0] == "allocate network"
    assert steps[-1] == "start program"
