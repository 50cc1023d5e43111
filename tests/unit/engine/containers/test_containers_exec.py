import pytest
from tests.unit.engine.containers.conftest import Make

from tiffin.api.types.exec import ExecCreateRequest
from tiffin.engine.containers.detach_keys import parse_detach_keys
from tiffin.engine.containers.service import Containers
from tiffin.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from tiffin.testing.fake_engine import Lab


async def test_exec(lab: Lab, service: Containers, make: Make) -> None:
    await make("web", start=True, env=["B=2"], working_dir="/w")
    request = ExecCreateRequest(cmd=["echo", "hi"], env=["C=3"], user="12:34", tty=True)
    identifier = await service.exec_create("web", request)
    shown = await service.exec_inspect(identifier)
    assert (shown.running, shown.exit_code) == (False, None)
    execution = service.exec_claim(identifier)
    await service.exec_start(execution, None, (24, 80))
    fake = lab.tasks.last.execs[0]
    process = fake.request.process
    assert process["args"] == ["echo", "hi"]
    assert process["cwd"] == "/w"
    assert process["user"] == {"uid": 12, "gid": 34, "additionalGids": [34]}
    assert {"A=1", "B=2", "C=3", "TERM=xterm"} <= set(process["env"])
    assert process["capabilities"]["effective"] == []
    assert (await service.exec_inspect(identifier)).running
    await service.exec_resize(identifier, 10, 20)
    assert fake.size == (10, 20)
    with pytest.raises(Conflict, match="is already running"):
        service.exec_claim(identifier)
    fake.end(3)
    assert execution.supervisor is not None
    await execution.supervisor
    shown = await service.exec_inspect(identifier)
    assert (shown.running, shown.exit_code) == (False, 3)
    actions = lab.events.actions()[2:]
    assert actions == ["exec_create: echo hi", "exec_start: echo hi", "exec_die"]
    assert lab.events.all[-1].attributes["exitCode"] == "3"
    with pytest.raises(Conflict, match="has already run"):
        service.exec_claim(identifier)


async def test_where_no_exec_can_be(service: Containers, make: Make) -> None:
    container = await make("web")
    request = ExecCreateRequest(cmd=["x"])
    with pytest.raises(Conflict, match=f"^container {container.id} is not running$"):
        await service.exec_create("web", request)
    await service.start("web")
    with pytest.raises(InvalidArgument, match=r"^No exec command specified$"):
        await service.exec_create("web", ExecCreateRequest())
    await service.pause("web")
    with pytest.raises(Conflict, match="is paused, unpause the container before exec"):
        await service.exec_create("web", request)
    with pytest.raises(NotFound, match=r"^No such exec instance: nope$"):
        service.exec_claim("nope")


@pytest.mark.parametrize(
    ("message", "code"), [("executable file not found in $PATH", 127), ("permission denied", 126)]
)
async def test_an_exec_that_fails(
    lab: Lab, service: Containers, make: Make, message: str, code: int
) -> None:
    await make("web", start=True)
    lab.tasks.last.exec_error = FailedPrecondition(message)
    identifier = await service.exec_create("web", ExecCreateRequest(cmd=["x"]))
    with pytest.raises(FailedPrecondition, match="OCI runtime exec failed: exec failed: "):
        await service.exec_start(service.exec_claim(identifier))
    assert (await service.exec_inspect(identifier)).exit_code == code


async def test_an_unknown_user(service: Containers, make: Make) -> None:
    await make("web", start=True)
    for user, missing in (("nobody-here", "user nobody-here"), ("1:no-such", "group no-such")):
        with pytest.raises(InvalidArgument, match=f"^unable to find {missing}: no matching"):
            await service.exec_create("web", ExecCreateRequest(cmd=["x"], user=user))


async def test_the_containers_user_vanished(service: Containers, make: Make) -> None:
    container = await make("web", start=True)
    container.spec.config.user = "gone"
    identifier = await service.exec_create("web", ExecCreateRequest(cmd=["x"]))
    with pytest.raises(FailedPrecondition, match=r"^unable to find user gone: no matching"):
        await service.exec_start(service.exec_claim(identifier))
    assert (await service.exec_inspect(identifier)).exit_code == 126


async def test_finished_execs_are_forgotten_at_last(
    lab: Lab, service: Containers, make: Make
) -> None:
    container = await make("web", start=True)
    identifiers = []
    for _ in range(80):
        identifiers.append(await service.exec_create("web", ExecCreateRequest(cmd=["x"])))
        await service.exec_start(service.exec_claim(identifiers[-1]))
        lab.tasks.last.execs[-1].end(0)
        supervisor = container.executions[identifiers[-1]].supervisor
        assert supervisor is not None
        await supervisor
    assert len(container.executions) <= 66
    with pytest.raises(NotFound):
        await service.exec_inspect(identifiers[0])
    await service.exec_inspect(identifiers[-1])


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (None, b""), ("", b""), ("ctrl-p,ctrl-q", b"\x10\x11"), ("a,b", b"ab"),
        ("ctrl-@,ctrl-[,DEL,ctrl-_", b"\x00\x1b\x7f\x1f"), ("ctrl-\\,ctrl-]", b"\x1c\x1d"),
    ],
)  # fmt: skip
def test_detach_keys(text: str | None, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-ab", "xx", "a,,b", "ü", "CTRL-A", "ctrl-1"])
def test_detach_keys_that_are_none(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"Invalid detach keys \(.*\) provided"):
        parse_detach_keys(text)
