"""Containers of other OCI runtimes: the same shim, the same commands, the same results."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from tests.e2e.e2e_daemon import Daemon
from tests.e2e.e2e_remains import orphans

pytestmark = pytest.mark.e2e

RUNTIMES = ("tiffin", "real-runc", "crun")
FAILING = """#!/bin/sh
case " $* " in
*" create "*) %s ;;
*) exec runc "$@" ;;
esac
"""


def script(place: Path, name: str, on_create: str) -> str:
    """Return the path of a runtime that does that instead of creating, and is runc otherwise."""
    path = place / name
    path.write_text(FAILING % on_create)
    path.chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    place = tmp_path_factory.mktemp("runtimes")
    file = place / "daemon.json"
    fails_late = script(place, "late", 'runc "$@" || exit; echo no >&2; exit 1')
    dies_late = script(place, "dies", 'runc "$@"; kill -9 $$')
    file.write_text(
        json.dumps(
            {
                "runtimes": {
                    "real-runc": {"path": "runc"},
                    "crun": {"path": "/usr/bin/crun", "runtimeArgs": ["--cgroup-manager=cgroupfs"]},
                    "late": {"path": fails_late},
                    "dies": {"path": dies_late},
                    "missing": {"path": "/no/such/runtime"},
                    "shim": {
                        "runtimeType": "io.containerd.runc.v2",
                        "options": {"BinaryName": "runc"},
                    },
                }
            }
        )
    )
    started = Daemon("--config-file", str(file))
    try:
        started.start()
        started.import_busybox()
        yield started
    finally:
        started.destroy()


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def inspect(daemon: Daemon, name: str, template: str) -> str:
    return daemon.docker("inspect", "-f", template, name).stdout.strip()


def ask(port: int) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            return connection.recv(100)
    except OSError:
        return b""


def test_runs_to_the_end(daemon: Daemon, runtime: str) -> None:
    run = ("run", "--rm", "--runtime", runtime, "-i", "-e", "A=b", "-h", "box", "-u", "5:7")
    script = "cat; id -u; id -g; hostname; echo $A; echo bad >&2; exit 9"
    done = daemon.docker(*run, "bb", "sh", "-c", script, input="in\n", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("in\n5\n7\nbox\nb\n", "bad\n", 9)
    assert daemon.docker("run", "--rm", "--runtime", runtime, "bb", "nix", check=False).returncode
    assert not daemon.docker("ps", "-aq").stdout
    assert not orphans(daemon)


def test_a_life(daemon: Daemon, runtime: str) -> None:
    program = "echo up; trap 'exit 7' TERM; while :; do sleep 0.02; done"
    daemon.docker("network", "create", "net")
    daemon.docker(
        "run", "-d", "--runtime", runtime, "--name", "box", "--network", "net", "-m", "64m",
        "--ulimit", "nofile=100:200", "-v", "vol:/vol", "--tmpfs", "/tmp", "--read-only",
        "bb", "sh", "-c", program,
    )  # fmt: skip
    limits = "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    shown = daemon.docker("exec", "box", "sh", "-c", f"cat {limits}; ulimit -n; echo x >/vol/f")
    assert shown.stdout.split() == [str(64 << 20), "100"]
    assert daemon.docker("exec", "-i", "box", "cat", input="bytes").stdout == "bytes"
    assert daemon.docker("exec", "box", "sh", "-c", "exit 5", check=False).returncode == 5
    missing = daemon.docker("exec", "box", "nix", check=False)
    assert (missing.returncode, "OCI runtime exec failed: " in missing.stdout) == (127, True)
    assert daemon.docker("exec", "box", "nslookup", "box").stdout.count("Address") > 1

    daemon.docker("pause", "box")
    assert inspect(daemon, "box", "{{.State.Status}}") == "paused"
    daemon.docker("unpause", "box")
    daemon.docker("update", "-m", "32m", "--memory-swap", "32m", "box")
    assert daemon.docker("exec", "box", "cat", limits).stdout.strip() == str(32 << 20)
    figures = daemon.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", "box").stdout
    assert figures.endswith("/ 32MiB\n")
    assert "sleep 0.02" in daemon.docker("top", "box").stdout

    daemon.kill9()
    daemon.start()
    assert daemon.docker("exec", "box", "echo", "still").stdout == "still\n"
    assert daemon.docker("logs", "box").stdout == "up\n"
    daemon.docker("stop", "box")
    assert inspect(daemon, "box", "{{.State.ExitCode}} {{.HostConfig.Runtime}}") == f"7 {runtime}"
    daemon.docker("start", "box")
    daemon.docker("kill", "box")
    assert inspect(daemon, "box", "{{.State.ExitCode}}") == "137"
    daemon.docker("rm", "box")
    daemon.docker("network", "rm", "net")
    assert not orphans(daemon)


def test_a_terminal(daemon: Daemon, runtime: str) -> None:
    arguments = ["run", "-it", "--rm", "--name", "tty", "--runtime", runtime, "bb", "sh"]
    child = pexpect.spawn(
        "docker", arguments, env=daemon.environment, timeout=20, dimensions=(31, 99)
    )
    child.expect("# ")
    child.sendline("stty size; test -t 0 && echo is-a-tty")
    child.expect("31 99")
    child.setwinsize(40, 120)
    child.sendline('while [ "$(stty size)" != "40 120" ]; do :; done; echo re""sized')
    child.expect("resized")
    inner = pexpect.spawn(
        "docker", ["exec", "-it", "tty", "sh"], env=daemon.environment, timeout=20
    )
    inner.expect("# ")
    inner.sendline("tty; exit 4")
    inner.expect("/dev/pts/1")
    inner.expect(pexpect.EOF)
    inner.close()
    assert inner.exitstatus == 4
    child.sendline("exit 3")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 3


def test_memory_ports_and_init(daemon: Daemon, runtime: str) -> None:
    run = ("run", "--runtime", runtime, "--name", "box")
    daemon.docker(*run, "-m", "8m", "--memory-swap", "8m", "bb", "tail", "/dev/zero", check=False)
    assert inspect(daemon, "box", "{{.State.OOMKilled}} {{.State.ExitCode}}") == "true 137"
    daemon.docker("rm", "box")

    serve = "while :; do echo answer | nc -l -p 80; done"
    daemon.docker(*run, "-d", "-p", "127.0.0.1::80", "--init", "bb", "sh", "-c", serve)
    port = int(daemon.docker("port", "box", "80").stdout.strip().rpartition(":")[2])
    daemon.wait_until(lambda: ask(port) == b"answer\n", "the published port answers")
    assert daemon.docker("exec", "box", "cat", "/proc/1/comm").stdout.endswith("-init\n")
    daemon.docker("rm", "-f", "box")
    assert not orphans(daemon)


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("late", 125, "OCI runtime create failed: late did not say why it failed (exit status 1)"),
        ("dies", 125, "OCI runtime create failed: dies did not say why it failed (signal 9)"),
        ("missing", 127, "OCI runtime create failed: unable to retrieve OCI runtime error"),
        ("nix", 125, "unknown or invalid runtime name: nix"),
    ],
)
def test_a_runtime_that_fails(daemon: Daemon, name: str, code: int, words: str) -> None:
    done = daemon.docker("run", "--rm", "--runtime", name, "bb", "true", check=False)
    assert done.returncode == code
    assert words in done.stderr
    assert not orphans(daemon)


def test_a_shim_that_is_killed_leaves_nothing(daemon: Daemon, runtime: str) -> None:
    run = ("run", "-d", "--runtime", runtime, "--name", "box", "bb", "sleep", "1000")
    identifier = daemon.docker(*run).stdout.strip()
    pid = int(inspect(daemon, "box", "{{.State.Pid}}"))
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGKILL)
    daemon.wait_until(
        lambda: inspect(daemon, "box", "{{.State.Status}}") == "exited", "the end is seen"
    )
    daemon.wait_until(lambda: not Path(f"/proc/{pid}").exists(), "it is collected by init")
    assert not list(Path("/sys/fs/cgroup").glob(f"*/{daemon.tag}/{identifier}"))
    daemon.docker("rm", "box")
    assert not orphans(daemon)


def test_info_tells_of_them(daemon: Daemon) -> None:
    found = daemon.api("GET", "/info")[1]
    assert found["Runtimes"]["crun"] == {
        "path": "/usr/bin/crun",
        "runtimeArgs": ["--cgroup-manager=cgroupfs"],
    }
    assert found["Runtimes"]["shim"] == {"path": "runc"}
    assert found["DefaultRuntime"] == "tiffin"
    assert {"runc", "tiffin"} <= found["Runtimes"].keys()
