"""What the runtime specification has and Docker rarely asks for: hooks, scheduling, clocks, agents."""

import array
import json
import os
import select
import socket
from pathlib import Path

import pytest
from tests.root.runtime.runtime_rig import Rig

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.runtime.runtime import CreateOptions, Stdio

pytestmark = pytest.mark.root

NOTE = "cat >>%s; echo >>%s; readlink /proc/self/ns/mnt >>%s"


def hook(log: Path, **members: object) -> dict[str, object]:
    """Return a hook of the host that notes its state and its mount namespace."""
    text = NOTE % (log, log, log)
    return {"path": "/bin/sh", "args": ["sh", "-c", text], **members}


def test_hooks_run_in_order_and_where_they_belong(rig: Rig, tmp_path: Path) -> None:
    logs = {
        kind: tmp_path / kind
        for kind in ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    }
    hooks: dict[str, list[dict[str, object]]] = {kind: [hook(log)] for kind, log in logs.items()}
    inside: dict[str, object] = {
        "path": "/bin/sh",
        "args": ["sh", "-c", "cat >/hooked; echo $A >>/hooked"],
    }
    hooks["startContainer"] = [inside]
    document = rig.config("sh", "-c", "cat /hooked", hooks=hooks, annotations={"a": "b"})
    document["process"]["env"].append("A=of-the-process")
    text, ended = rig.run(document)
    assert ended.code == 0
    state, _, variable = text.rpartition("}")
    assert json.loads(state + "}")["pid"] == 1
    assert variable == "of-the-process\n"

    told = {kind: log.read_text().splitlines() for kind, log in logs.items()}
    statuses = {kind: json.loads(lines[0])["status"] for kind, lines in told.items()}
    assert statuses == {
        "prestart": "creating", "createRuntime": "creating", "createContainer": "creating",
        "poststart": "running", "poststop": "stopped",
    }  # fmt: skip
    assert json.loads(told["prestart"][0])["pid"] > 1
    assert "pid" not in json.loads(told["poststop"][0])
    assert json.loads(told["poststop"][0])["annotations"]["a"] == "b"
    host = os.readlink("/proc/self/ns/mnt")
    places = {kind: lines[-1] == host for kind, lines in told.items()}
    assert places == {kind: kind != "createContainer" for kind in logs}


@pytest.mark.parametrize(
    "kind", ["prestart", "createRuntime", "createContainer", "startContainer", "poststart"]
)
def test_a_hook_that_fails_fails_the_container(rig: Rig, kind: str) -> None:
    fails = {"path": "/bin/sh", "args": ["sh", "-c", "echo broken >&2; exit 3"]}
    document = rig.config("sleep", "100", hooks={kind: [fails]})
    with pytest.raises(FailedPrecondition, match=f"error running {kind} hook #0: exit status 3"):
        rig.run(document)


def test_a_hook_is_not_waited_for_longer_than_its_timeout(rig: Rig) -> None:
    slow = {"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}
    document = rig.config("true", hooks={"createRuntime": [slow]})
    with pytest.raises(FailedPrecondition, match="hook ran past specified timeout"):
        rig.run(document)


def test_scheduling_and_personality(rig: Rig) -> None:
    process = {
        "scheduler": {"policy": "SCHED_BATCH", "nice": 7},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6},
    }
    linux = {"personality": {"domain": "LINUX32"}}
    text = rig.shell(
        "cat /proc/self/stat; cat /proc/self/personality", process=process, linux=linux
    )
    assert text.splitlines()[1] == "00000008"
    text = text.splitlines()[0]
    fields = text.rpartition(")")[2].split()
    assert fields[16] == "7"  # nice
    assert fields[38] == "3"  # SCHED_BATCH


def test_clocks_of_a_time_namespace(rig: Rig) -> None:
    document = rig.config("cat", "/proc/self/timens_offsets")
    document["linux"]["namespaces"].append({"type": "time"})
    document["linux"]["timeOffsets"] = {"boottime": {"secs": 86400, "nanosecs": 5}}
    text, _ = rig.run(document)
    assert text.split()[-3:] == ["boottime", "86400", "5"]


def test_offsets_need_a_time_namespace(rig: Rig) -> None:
    with pytest.raises(InvalidArgument, match="time namespace"):
        rig.shell("true", linux={"timeOffsets": {"monotonic": {"secs": 1}}})


@pytest.mark.parametrize("member", ["intelRdt", "memoryPolicy", "netDevices"])
def test_what_is_not_done_is_refused(rig: Rig, member: str) -> None:
    with pytest.raises(InvalidArgument, match=f"{member}: .* is not offered by this runtime"):
        rig.shell("true", linux={member: {"closID": "x"}})


def test_tmpfs_with_what_it_hides(rig: Rig) -> None:
    (rig.lower / "etc/deep").mkdir()
    (rig.lower / "etc/deep/file").write_text("copied")
    mount = {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    assert (
        rig.shell("cat /etc/deep/file; echo x >/etc/new && echo ok", mounts=[mount]) == "copiedok\n"
    )


def test_a_read_only_dev_is_complete(rig: Rig) -> None:
    document = rig.config(
        "sh", "-c", "echo x >/dev/null && ls /dev/zero; touch /dev/x 2>/dev/null || echo ro"
    )
    next(item for item in document["mounts"] if item["destination"] == "/dev")["options"].append(
        "ro"
    )
    text, _ = rig.run(document)
    assert text == "/dev/zero\nro\n"


def test_an_agent_is_asked(rig: Rig, tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(path)
    agent.listen(1)
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": path, "listenerMetadata": "hint",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }  # fmt: skip
    document = rig.config("mkdir", "/new", linux={"seccomp": profile})
    null = os.open("/dev/null", os.O_RDWR)
    with rig.task(document, Stdio(null, null, null)) as task:
        connection, _ = agent.accept()
        told, ancillary, _, _ = connection.recvmsg(65536, 1024, socket.MSG_CMSG_CLOEXEC)
        descriptors = array.array("i")
        descriptors.frombytes(ancillary[0][2])
        state = json.loads(told)
        assert (state["pid"], state["metadata"]) == (task.init.pid, "hint")
        assert (state["fds"], state["state"]["id"]) == (["seccompFd"], "box")
        poll = select.poll()
        poll.register(descriptors[0], select.POLLIN)
        assert poll.poll(5000)  # the call waits for the answer
        os.close(descriptors[0])
        connection.close()
    agent.close()
    os.close(null)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"listenerPath": ""}, "listenerPath must be set"),
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "cannot be used as default action"),
        ({"syscalls": [{"names": ["write"], "action": "SCMP_ACT_NOTIFY"}]}, "the write syscall"),
    ],
)
def test_agents_that_could_not_answer(rig: Rig, change: dict[str, object], words: str) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nowhere",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}], **change,
    }  # fmt: skip
    with pytest.raises(InvalidArgument, match=words):
        rig.shell("true", linux={"seccomp": profile})


def test_another_process_opens_the_gate(rig: Rig, tmp_path: Path) -> None:
    from tiffin.runtime.handshake import Channel, Kind

    gate = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    gate.bind(str(tmp_path / "gate"))
    gate.listen(1)
    read_end, write_end = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    options = CreateOptions(gate=gate.fileno())
    bundle = rig.bundle(rig.config("echo", "through"))
    task = rig.runtime.create("box", bundle, Stdio(null, write_end, null), options)
    os.close(write_end)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(str(tmp_path / "gate"))
    channel = Channel(connection)
    channel.send(Kind.START)
    assert channel.receive().kind is Kind.CLOSED
    assert os.read(read_end, 100) == b"through\n"
    channel.close()
    gate.close()
    os.close(read_end)
    os.close(null)
    task.delete()
