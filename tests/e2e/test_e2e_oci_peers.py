"""`tiffin-runtime` as the runtime of others: podman, containerd, and our own daemon."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from tests.e2e.e2e_daemon import Daemon, busybox_tar
from tests.e2e.e2e_remains import orphans

pytestmark = pytest.mark.e2e

RUNTIME = str(Path(sys.executable).with_name("tiffin-runtime"))
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def call(*command: str, input: str = "") -> "subprocess.CompletedProcess[str]":  # noqa: A002
    return subprocess.run(
        command, input=input, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="tf-peer-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def podman(place: Path) -> Iterator[Run]:
    command = [
        "podman", "--root", str(place / "storage"), "--runroot", str(place / "run"),
        "--tmpdir", str(place / "tmp"), "--storage-driver", "vfs", "--cgroup-manager",
        "cgroupfs", "--events-backend", "none", "--runtime", RUNTIME,
    ]  # fmt: skip

    def run(*arguments: str, input: str = "") -> "subprocess.CompletedProcess[str]":  # noqa: A002
        return call(*command, *arguments, input=input)

    archive = place / "busybox.tar"
    archive.write_bytes(busybox_tar())
    imported = run("import", str(archive), "bb")
    assert imported.returncode == 0, imported.stderr
    yield run
    run("rm", "-af", "-t", "0")
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    assert not [line for line in mounts if f"{place}/storage/vfs" in line]
    for parent in Path("/sys/fs/cgroup").glob("*/tf-peer"):  # podman keeps it
        if not os.path.ismount(parent.parent):  # and makes it where there is no hierarchy
            shutil.rmtree(parent.parent)
            continue
        for directory, _, _ in os.walk(parent, topdown=False):
            os.rmdir(directory)


OPTIONS = ("--network", "none", "--log-driver", "k8s-file", "--cgroup-parent", "/tf-peer")


def test_podman_runs_to_the_end(podman: Run) -> None:
    done = podman("run", "--rm", *OPTIONS, "-i", "-u", "5:6", "bb", "sh", "-c",
                  "cat; id -u; echo no >&2; exit 3", input="in\n")  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("in\n5\n", "no\n", 3)
    missing = podman("run", "--rm", *OPTIONS, "bb", "nix")
    assert missing.returncode == 127
    assert 'exec: \\"nix\\": executable file not found in $PATH' in missing.stderr


def test_podman_a_life(podman: Run) -> None:
    program = "echo up; trap 'exit 7' TERM; while :; do sleep 0.02; done"
    run = ("run", "-d", "--name", "box", *OPTIONS, "-m", "64m", "--read-only", "--tmpfs", "/tmp")
    started = podman(*run, "bb", "sh", "-c", program)
    assert started.returncode == 0, started.stderr
    limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; exit 4"
    done = podman("exec", "box", "sh", "-c", limit)
    assert (done.stdout, done.returncode) == (f"{64 << 20}\n", 4)
    assert podman("exec", "-i", "box", "cat", input="bytes").stdout == "bytes"
    assert podman("exec", "box", "nix").returncode == 127
    assert podman("pause", "box").returncode == 0
    assert podman("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Paused")
    assert podman("unpause", "box").returncode == 0
    assert "sleep 0.02" in podman("top", "box", "args").stdout
    assert podman("logs", "box").stdout == "up\n"
    assert podman("stop", "box").returncode == 0
    assert podman("inspect", "-f", "{{.State.ExitCode}}", "box").stdout == "7\n"
    assert podman("start", "box").returncode == 0
    assert podman("kill", "box").returncode == 0
    assert podman("wait", "box").stdout == "137\n"
    assert podman("rm", "box").returncode == 0
    assert not list(Path("/sys/fs/cgroup").glob("*/tf-peer/libpod-*"))


def test_podman_terminal_and_user_namespace(podman: Run, place: Path) -> None:
    mapped = podman("run", "--rm", *OPTIONS, "--uidmap", "0:100000:1000", "--gidmap",
                    "0:100000:1000", "bb", "cat", "/proc/self/uid_map")  # fmt: skip
    assert mapped.stdout.split() == ["0", "100000", "1000"], mapped.stderr
    arguments = [
        "--root", str(place / "storage"), "--runroot", str(place / "run"), "--tmpdir",
        str(place / "tmp"), "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
        "--events-backend", "none", "--runtime", RUNTIME,
    ]  # fmt: skip
    child = pexpect.spawn(
        "podman", [*arguments, "run", "--rm", "-it", *OPTIONS, "bb", "sh"], timeout=30,
        dimensions=(31, 99),
    )  # fmt: skip
    child.expect("# ")
    child.sendline("tty; stty size; exit 5")
    child.expect("/dev/pts/0")
    child.expect("31 99")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 5


@pytest.fixture(scope="module")
def ctr(place: Path) -> Iterator[Run]:
    socket = place / "containerd.sock"
    (place / "containerd.toml").write_text(
        f'version = 2\nroot = "{place}/ctrd"\nstate = "{place}/ctrd-run"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
        f'[grpc]\naddress = "{socket}"\n'
    )
    log = (place / "containerd.log").open("wb")
    server = subprocess.Popen(
        ["containerd", "-c", str(place / "containerd.toml")], stdout=log, stderr=log
    )
    namespace = f"tf{os.getpid()}"
    command = ("ctr", "-a", str(socket), "-n", namespace)
    deadline = time.monotonic() + 20
    while call(*command, "version").returncode != 0:
        assert time.monotonic() < deadline, (place / "containerd.log").read_text()
        time.sleep(0.05)
    yield lambda *arguments: call(*command, *arguments)
    server.terminate()
    server.wait(20)
    log.close()
    Path(f"/run/containerd/runc/{namespace}").rmdir()  # containerd's shim keeps it


@pytest.fixture(scope="module")
def rootfs(place: Path) -> str:
    path = place / "rootfs"
    path.mkdir()
    subprocess.run(["tar", "-x", "-C", path], input=busybox_tar(), check=True)
    return str(path)


def test_containerd(ctr: Run, rootfs: str) -> None:
    run = ("run", "--runc-binary", RUNTIME, "--env", "PATH=/bin", "--rootfs")
    done = ctr(*run[:1], "--rm", *run[1:], rootfs, "one", "sh", "-c", "echo hello; exit 3")
    assert (done.stdout, done.returncode) == ("hello\n", 3), done.stderr
    missing = ctr(*run[:1], "--rm", *run[1:], rootfs, "none", "nix")
    assert 'exec: "nix": executable file not found in $PATH' in missing.stderr

    detached = ctr(*run[:1], "-d", "--null-io", *run[1:], rootfs, "two", "sleep", "1000")
    assert detached.returncode == 0, detached.stderr
    assert "RUNNING" in ctr("task", "ls").stdout
    inside = ctr("task", "exec", "--exec-id", "e", "two", "/bin/sh", "-c", "echo in; exit 2")
    assert (inside.stdout, inside.returncode) == ("in\n", 2), inside.stderr
    assert ctr("task", "pause", "two").returncode == 0
    assert "PAUSED" in ctr("task", "ls").stdout
    assert ctr("task", "resume", "two").returncode == 0
    assert len(ctr("task", "ps", "two").stdout.splitlines()) == 2
    assert ctr("task", "kill", "-s", "SIGKILL", "two").returncode == 0
    deadline = time.monotonic() + 10
    while "STOPPED" not in ctr("task", "ls").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ctr("task", "delete", "two")
    assert ctr("container", "rm", "two").returncode == 0


def test_our_own_daemon(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon("--add-runtime", f"command={RUNTIME}", "--default-runtime", "command")
    daemon.import_busybox()
    run = ("run", "--name", "box", "-d", "-p", "80", "bb", "sh", "-c")
    daemon.docker(*run, "trap 'exit 7' TERM; while :; do sleep 0.02; done")
    assert daemon.docker("exec", "box", "sh", "-c", "exit 5", check=False).returncode == 5
    daemon.docker("stop", "box")
    state = json.loads(daemon.docker("inspect", "box").stdout)[0]
    assert (state["State"]["ExitCode"], state["HostConfig"]["Runtime"]) == (7, "command")
    missing = daemon.docker("run", "--rm", "bb", "nix", check=False)
    assert (missing.returncode, "executable file not found" in missing.stderr) == (127, True)
    daemon.docker("rm", "box")
    assert not orphans(daemon)
