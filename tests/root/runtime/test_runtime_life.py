"""The life of a task: start, terminal, exec, kill, pause, limits, failure."""

import errno
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.root.runtime.runtime_rig import DEFAULT_CAPABILITIES, Rig, output, run_in

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.linux import capabilities, pidfd, pty
from tiffin.linux.cgroups.group import Group
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.runtime.runtime import CreateOptions, Stdio

pytestmark = pytest.mark.root

TERMINAL = Stdio(-1, -1, -1, terminal=True, rows=33, columns=111)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def read_terminal(console: int, until: bytes = b"") -> str:
    """Read until the text appears, or the last process has closed the terminal (EIO)."""
    found = b""
    while not until or until not in found:
        try:
            found += os.read(console, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            break
    return found.decode()


def test_exit_codes_and_signals(rig: Rig) -> None:
    assert rig.run(rig.config("sh", "-c", "exit 7"))[1].status == 7
    assert rig.run(rig.config("sh", "-c", "exec sleep 0"))[1].status == 0
    with output() as (stdio, _), rig.task(rig.config("sleep", "60"), stdio) as task:
        task.kill(signal.SIGKILL)
        assert pidfd.wait(task.init.pidfd).status == 137
        task.kill(signal.SIGKILL)  # nothing to do


def test_the_program_waits_for_start(rig: Rig) -> None:
    document = rig.config("touch", "/shared/started")
    shared = rig.place / "shared"
    shared.mkdir()
    document["mounts"].append(
        {"destination": "/shared", "type": "bind", "source": str(shared), "options": ["bind"]}
    )
    with output() as (stdio, _), rig.task(document, stdio, start=False) as task:
        assert not pidfd.has_ended(task.init.pidfd, 0.2)
        assert list(shared.iterdir()) == []
        task.start()
        assert pidfd.wait(task.init.pidfd).status == 0
        assert [item.name for item in shared.iterdir()] == ["started"]
        with pytest.raises(FailedPrecondition, match="has started"):
            task.start()


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("nope", 'exec: "nope": executable file not found in $PATH'),
        ("/nope", 'exec: "/nope": stat /nope: no such file or directory'),
        ("/etc", 'exec: "/etc": is a directory'),
        ("/etc/passwd", 'exec: "/etc/passwd": permission denied'),
    ],
)
def test_programs_that_cannot_be_executed(rig: Rig, program: str, words: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        rig.run(rig.config(program))
    assert caught.value.message == (
        "failed to create task for container: failed to create shim task: OCI runtime create "
        "failed: runc create failed: unable to start container process: "
        f"error during container init: {words}: unknown"
    )


def test_a_script_without_interpreter_fails_in_its_own_output(rig: Rig) -> None:
    (rig.lower / "bin/script").write_text("#!/no/such/interpreter\n")
    (rig.lower / "bin/script").chmod(0o755)
    (rig.lower / "bin/garbage").write_bytes(b"\1\2\3")
    (rig.lower / "bin/garbage").chmod(0o755)
    text, ended = rig.run(rig.config("/bin/script"))
    assert (text, ended.status) == ("exec /bin/script: no such file or directory\n", 255)
    text, ended = rig.run(rig.config("garbage"))
    assert (text, ended.status) == ("exec /bin/garbage: exec format error\n", 255)


def test_a_terminal(rig: Rig) -> None:
    script = "tty; stty size; test -c /dev/console && echo console; read line; echo got $line"
    document = rig.config("sh", "-c", script)
    document["process"]["terminal"] = True
    with rig.task(document, TERMINAL) as task:
        text = read_terminal(task.init.console, b"console\r\n")
        assert text == "/dev/pts/0\r\n33 111\r\nconsole\r\n"
        pty.set_size(task.init.console, 5, 6)
        assert pty.size(task.init.console) == (5, 6)
        os.write(task.init.console, b"hello\n")
        assert "got hello" in read_terminal(task.init.console)
        assert pidfd.wait(task.init.pidfd).status == 0


def test_the_terminal_controls(rig: Rig) -> None:
    document = rig.config(
        "sh", "-c", "trap 'echo caught; exit 3' INT; echo ready; while :; do sleep 0.01; done"
    )
    document["process"]["terminal"] = True
    with rig.task(document, TERMINAL, init_process=True) as task:
        read_terminal(task.init.console, b"ready")
        os.write(task.init.console, b"\x03")
        assert "caught" in read_terminal(task.init.console)
        assert pidfd.wait(task.init.pidfd).status == 3


def test_init_reaps_forwards_and_hides_the_host(rig: Rig) -> None:
    os.environ["TIFFIN_SECRET"] = "s3cret"
    script = (
        "cat /proc/1/cmdline /proc/1/environ | tr '\\0' ' '; echo $$;"
        "trap 'exit 5' USR1; sh -c 'sleep 0.01 &'; echo up; while :; do sleep 0.01; done"
    )
    with output() as (stdio, _):
        with rig.task(rig.config("sh", "-c", script), stdio, init_process=True) as task:
            group = task.group
            eventually(lambda: len(group.pids()) >= 2)
            text, _ = run_in(task, "sh", "-c", "cat /proc/1/cmdline /proc/1/environ; id -u")
            assert text.startswith("tiffin-init")
            assert "s3cret" not in text
            assert "Permission denied" in text
            more = [*DEFAULT_CAPABILITIES, "CAP_SYS_PTRACE"]
            privileged = dict.fromkeys(("bounding", "effective", "permitted"), more)
            script = "cat /proc/1/environ | tr -d '\\0'; readlink /proc/1/cwd"
            text, _ = run_in(task, "sh", "-c", script, capabilities=privileged)
            assert text == "/\n"
            zombies = "grep -l '^State:.Z' /proc/[0-9]*/status"
            eventually(lambda: run_in(task, "sh", "-c", zombies)[0] == "")
            task.kill(signal.SIGUSR1)
            assert pidfd.wait(task.init.pidfd).status == 5


def test_exec_joins_everything(rig: Rig) -> None:
    with output() as (stdio, _), rig.task(rig.config("sleep", "60"), stdio) as task:
        script = (
            "hostname; pwd; for n in net mnt pid cgroup ipc uts; do readlink /proc/self/ns/$n; done;"
            "ls /proc/self/fd; exit 9"
        )
        text, ended = run_in(task, "sh", "-c", script, cwd="/tmp")
        assert ended.status == 9
        name, where, *rest = text.split()
        assert (name, where) == ("box", "/tmp")
        for kind, link in zip(("net", "mnt", "pid", "cgroup", "ipc", "uts"), rest, strict=False):
            assert link == os.readlink(f"/proc/{task.init.pid}/ns/{kind}")
        assert rest[6:] == ["0", "1", "2", "3"]
        capabilities = {name: ["CAP_CHOWN"] for name in ("bounding", "effective", "permitted")}
        text, _ = run_in(task, "grep", "CapEff", "/proc/self/status", capabilities=capabilities)
        assert int(text.split()[1], 16) == 1
        user = {"uid": 1000, "gid": 1000}
        assert run_in(task, "id", "-u", user=user)[0] == "1000\n"


def test_exec_lives_in_the_containers_cgroup_and_filter(rig: Rig) -> None:
    document = rig.config("sleep", "60")
    document["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    }
    with output() as (stdio, _), rig.task(document, stdio) as task, output() as (pipe, _read):
        made = task.exec({"args": ["sleep", "60"], "env": ["PATH=/bin"], "cwd": "/"}, pipe)
        assert sorted(task.group.pids()) == sorted([task.init.pid, made.pid])
        assert "Operation not permitted" in run_in(task, "mkdir", "/tmp/x")[0]
        task.kill(signal.SIGTERM, every=True)
        assert pidfd.wait(made.pidfd).status == 143
        os.close(made.pidfd)


def test_exec_with_a_terminal_of_its_own(rig: Rig) -> None:
    with output() as (stdio, _), rig.task(rig.config("sleep", "60"), stdio) as task:
        process = {
            "args": ["sh", "-c", "tty; stty size; ps -o pid,sid,tty"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "terminal": True,
        }
        made = task.exec(process, TERMINAL)
        text = read_terminal(made.console)
        assert text.startswith("/dev/pts/0\r\n33 111\r\n")
        assert pidfd.wait(made.pidfd).status == 0
        os.close(made.console)
        os.close(made.pidfd)


def test_exec_that_fails_leaves_nothing(rig: Rig) -> None:
    with output() as (stdio, _), rig.task(rig.config("sleep", "60"), stdio) as task:
        with pytest.raises(FailedPrecondition) as caught:
            run_in(task, "nope")
        assert caught.value.message == (
            "OCI runtime exec failed: exec failed: unable to start container process: "
            'exec: "nope": executable file not found in $PATH: unknown'
        )
        with pytest.raises(FailedPrecondition, match=r'chdir to cwd \("/no"\) set in config.json'):
            run_in(task, "true", cwd="/no")
        assert task.group.pids() == [task.init.pid]


def test_delete_collects_execs_that_nobody_waited_for(rig: Rig) -> None:
    with output() as (stdio, _), rig.task(rig.config("sleep", "60"), stdio) as task:
        made = task.exec({"args": ["true"], "env": ["PATH=/bin"]}, Stdio(-1, -1, -1))
        os.close(made.pidfd)


def test_pause_and_resume(rig: Rig) -> None:
    script = "while :; do echo x; sleep 0.01; done"
    with output() as (stdio, _), rig.task(rig.config("sh", "-c", script), stdio) as task:
        task.pause()
        used = task.stats()["cpu"]["total_ns"]
        time.sleep(0.1)
        assert task.stats()["cpu"]["total_ns"] == used
        task.resume()
        eventually(lambda: task.stats()["cpu"]["total_ns"] > used)
        task.pause()  # and deleted as it stands


def test_what_stands_paused_can_be_killed(rig: Rig) -> None:
    for every in (False, True):
        with output() as (stdio, _), rig.task(rig.config("sleep", "60"), stdio) as task:
            task.pause()
            task.kill(signal.SIGKILL, every=every)
            assert pidfd.wait(task.init.pidfd).signal == signal.SIGKILL


def test_stats_and_update(rig: Rig) -> None:
    document = rig.config("sleep", "60")
    document["linux"]["resources"]["pids"] = {"limit": 30}
    with output() as (stdio, _), rig.task(document, stdio) as task:
        figures = task.stats()
        assert figures["pids"] == {"current": 1, "limit": 30}
        assert figures["memory"]["usage"] > 0
        assert figures["memory"]["limit"] == 0
        assert figures["cpu"]["total_ns"] > 0
        task.update({"memory": {"limit": 64 << 20, "swap": 64 << 20}, "cpu": {"quota": 20000}})
        assert task.stats()["memory"]["limit"] == 64 << 20
        task.update({"memory": {"limit": 128 << 20, "swap": 256 << 20}})
        assert task.stats()["memory"]["limit"] == 128 << 20
        with pytest.raises(InvalidArgument, match="failed to update container"):
            task.update({"cpu": {"cpus": "4096"}})


def test_too_much_memory_is_killed_and_counted(rig: Rig) -> None:
    document = rig.config("sh", "-c", "head -c 100000000 /dev/zero | sort >/dev/null; echo $?")
    document["linux"]["resources"]["memory"] = {"limit": 16 << 20, "swap": 16 << 20}
    with output() as (stdio, read), rig.task(document, stdio) as task:
        os.close(stdio.stdout)
        text = read()
        pidfd.wait(task.init.pidfd)
        assert task.stats()["memory"]["oom_kills"] >= 1
        assert "0\n" not in text.splitlines()


def test_too_many_processes_are_refused(rig: Rig) -> None:
    document = rig.config("sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 9 & done; echo done")
    document["linux"]["resources"]["pids"] = {"limit": 4}
    text, _ = rig.run(document)
    assert "can't fork" in text


def test_sockets_of_the_network_namespace(rig: Rig) -> None:
    script = "cat /proc/net/dev; cat /proc/net/udp"
    document = rig.config("sh", "-c", script)
    with output() as (stdio, read):
        task = rig.task(document, stdio, network_sockets=True, dns_sockets=True)
        with task as made:
            os.close(stdio.stdout)
            network = made.network
            assert network is not None
            inside = os.stat(f"/proc/{made.init.pid}/ns/net").st_ino if made.init.pid else 0
            assert os.fstat(network.netns).st_ino != os.stat("/proc/self/ns/net").st_ino
            assert inside in (0, os.fstat(network.netns).st_ino)
            assert min(network.dns_udp, network.dns_tcp, network.rtnetlink, network.nfnetlink) > 2
            text = read()
            pidfd.wait(made.init.pidfd)
    assert "lo:" in text
    assert "0B00007F" in text  # 127.0.0.11


def test_a_shared_network_gives_no_sockets(rig: Rig) -> None:
    document = rig.config("true")
    document["linux"]["namespaces"] = [{"type": "mount"}, {"type": "pid"}]
    document.pop("hostname")
    with output() as (stdio, _), rig.task(document, stdio, network_sockets=True) as task:
        assert task.network is None
        assert pidfd.wait(task.init.pidfd).status == 0


def test_a_shared_pid_namespace_is_cleaned_by_the_cgroup(rig: Rig) -> None:
    document = rig.config("sh", "-c", "sleep 61 & sleep 62 & exec sleep 63")
    document["linux"]["namespaces"] = [{"type": "mount"}, {"type": "network"}]
    document.pop("hostname")
    with output() as (stdio, _), rig.task(document, stdio) as task:
        eventually(lambda: len(task.group.pids()) == 3)
        pids = task.group.pids()
    eventually(lambda: not any(_is_alive(pid) for pid in pids))


def _is_alive(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("step", ["mount", "cgroup", "namespace", "sysctl", "label", "user"])
def test_a_failing_create_leaves_nothing(rig: Rig, step: str) -> None:
    document = rig.config("true")
    match step:
        case "mount":
            document["mounts"].append({"destination": "/x", "type": "nonesuch"})
        case "cgroup":
            document["linux"]["resources"]["cpu"] = {"cpus": "4096"}
        case "namespace":
            document["linux"]["namespaces"][4]["path"] = "/no/such/namespace"
        case "sysctl":
            document["linux"]["sysctl"] = {"net.no.such": "1"}
        case "label":
            document["process"]["apparmorProfile"] = "some-profile"
        case "user":
            document["process"]["user"] = {"uid": -5, "gid": 0}
    # A limit that cannot be is the caller's fault.
    error = InvalidArgument if step == "cgroup" else FailedPrecondition
    with pytest.raises(error, match="OCI runtime create failed"):
        rig.run(document, network_sockets=True)


def test_a_child_that_is_killed_in_the_middle_leaves_nothing(rig: Rig) -> None:
    with output() as (stdio, _):
        choices = CreateOptions(network_sockets=False)
        task = rig.runtime.create("box", rig.bundle(rig.config("true")), stdio, choices)
        os.kill(task.init.pid, signal.SIGKILL)
        pidfd.has_ended(task.init.pidfd, 20)
        task.start()
        assert pidfd.wait(task.init.pidfd).status == 137
        task.delete()
        task.delete()


def is_empty(group: Group) -> bool:
    return group.pids() == []


def test_a_creator_that_is_killed_leaves_no_process(rig: Rig) -> None:
    document = rig.config("sleep", "60")
    bundle, path = rig.bundle(document), document["linux"]["cgroupsPath"]
    for delay_s in (0.0, 0.002, 0.005, 0.01, 0.05):
        creator = os.fork()
        if creator == 0:
            rig.runtime.create("box", bundle, Stdio(-1, -1, -1), CreateOptions())
            signal.pause()
        time.sleep(delay_s)
        os.kill(creator, signal.SIGKILL)
        os.waitpid(creator, 0)
        group = open_group(path)
        eventually(partial(is_empty, group))
        group.remove()


def test_a_small_memory_limit_is_enough_to_start(rig: Rig) -> None:
    document = rig.config("true")
    document["linux"]["resources"]["memory"] = {"limit": 6 << 20, "swap": 6 << 20}
    assert rig.run(document)[1].status == 0


def test_a_privileged_container(rig: Rig) -> None:
    script = (
        "grep CapEff /proc/self/status; touch /proc/sys/kernel/hostname;"
        "mount -t tmpfs x /tmp && echo mounted"
    )
    document = rig.config("sh", "-c", script)
    every = list(capabilities.NAMES)
    document["process"]["capabilities"] = {
        "bounding": every, "effective": every, "permitted": every,
    }  # fmt: skip
    document["linux"] |= {"maskedPaths": [], "readonlyPaths": []}
    document["linux"]["resources"] = {"devices": [{"allow": True, "access": "rwm"}]}
    text, _ = rig.run(document)
    assert int(text.split()[1], 16) == capabilities.held()
    assert "mounted" in text
    assert "Read-only" not in text


def test_tmpfs_keeps_the_mode_of_what_it_covers(rig: Rig) -> None:
    (rig.lower / "tmp").chmod(0o1770)
    tmpfs = {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]}
    document = rig.config("stat", "-c", "%a", "/tmp", mounts=[tmpfs])
    assert rig.run(document)[0] == "1770\n"


def test_many_starts_leak_nothing(rig: Rig) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(20):
        text, ended = rig.run(rig.config("echo", "hello"))
        assert (text, ended.status) == ("hello\n", 0)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_child_is_made_ahead_only_where_groups_are_joined_by_files(rig: Rig) -> None:
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    before = set(children.read_text().split())
    rig.runtime.prepare()
    made = set(children.read_text().split()) - before
    assert len(made) == (1 if rig.runtime.layout.version == 1 else 0)
    assert rig.run(rig.config("sh", "-c", "exit 7"))[1].status == 7  # with it or without
    assert not made & set(children.read_text().split())
