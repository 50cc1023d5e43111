"""What a hostile container, image or request tries, and does not get."""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.e2e_daemon import Daemon, UnixConnection

pytestmark = pytest.mark.e2e

SWAP = """
mkdir -p /v/d /v/e; ln -s {target} /v/l
while :; do mv /v/d /v/t; mv /v/l /v/d; mv /v/d /v/l; mv /v/t /v/d; done
"""


@pytest.fixture(scope="module")
def secret() -> Iterator[Path]:
    """A directory of the host that no container may reach."""
    path = Path(f"/tmp/tiffin-secret-{os.getpid()}")
    path.mkdir()
    (path / "file").write_text("secret")
    yield path
    (path / "file").unlink()
    path.rmdir()


def test_kernel_interfaces(daemon: Daemon, busybox: str) -> None:
    script = """
for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/irq/default_smp_affinity /sys/power/state \
         /sys/kernel/uevent_helper /sys/fs/cgroup/release_agent /sys/fs/cgroup/*/release_agent \
         /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs; do
  [ -e $f ] && (echo 0 > $f) 2>/dev/null && echo "wrote $f"
done
for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do
  [ -s $f ] && head -c1 $f | grep -q . && echo "read $f"
done
ls -A /proc/acpi /sys/firmware /proc/scsi 2>/dev/null | grep -v : | grep .
mknod /tmp/mem c 1 1; head -c1 /tmp/mem >/dev/null 2>&1 && echo "read mem"
mknod /tmp/kmsg c 1 11; head -c1 /tmp/kmsg >/dev/null 2>&1 && echo "read kmsg"
mount -t tmpfs x /tmp 2>/dev/null && echo mounted
mount -o remount,rw /proc/sys 2>/dev/null && echo remounted
umount /proc/sys 2>/dev/null && echo unmounted
unshare -U true 2>/dev/null && echo "user namespace"
unshare -m true 2>/dev/null && echo "mount namespace"
nsenter -t 1 -m true 2>/dev/null && echo entered
for fd in /proc/1/fd/*; do n=${fd##*/}; [ $n -gt 2 ] && readlink $fd; done
true
"""
    for options in ([], ["--init"], ["-u", "1000"]):
        done = daemon.docker("run", "--rm", *options, busybox, "sh", "-c", script)
        assert done.stdout == "", options
    status = daemon.docker("run", "--rm", busybox, "cat", "/proc/self/status").stdout
    assert "CapEff:\t00000000a80425fb" in status
    assert "CapAmb:\t0000000000000000" in status
    assert "Seccomp:\t2" in status


def test_the_runtime_stays_out_of_reach(daemon: Daemon, busybox: str) -> None:
    # The program is the runtime's own executable (CVE-2019-5736): a sealed file without a name.
    image = daemon.docker(
        "build", "-q", "-", input=f'FROM {busybox}\nENTRYPOINT ["/proc/self/exe"]\n'
    )
    done = daemon.docker("run", "--rm", image.stdout.strip(), "-c", "1", check=False, timeout=20)
    assert done.returncode != 0
    daemon.docker("run", "-d", "--name", "target", "--init", busybox, "sleep", "1000")
    # Nothing of an exec that has not become its program yet can be looked into (CVE-2016-9962), nor
    # of the process that serves as init.
    spy = """
i=0
while [ $i -lt 4000 ]; do
  i=$((i+1))
  for p in /proc/[0-9]*; do
    e=$(readlink $p/exe 2>/dev/null)
    case "$e" in *memfd*|*python*) echo "saw $e";; esac
    [ $p = /proc/1 ] && readlink $p/fd/0 >/dev/null 2>&1 && echo "saw descriptors of init"
  done
  [ -e /stop ] && break
done | sort | uniq -c
"""
    watching = daemon.spawn("exec", "target", "sh", "-c", spy, stdin=subprocess.DEVNULL)
    for _ in range(15):
        daemon.docker("exec", "target", "true")
    daemon.docker("exec", "target", "touch", "/stop")
    out, _ = watching.communicate(timeout=30)
    assert out == b""
    # A working directory by way of a descriptor that leads to the host (CVE-2024-21626).
    for number in range(3, 14):
        path = f"/proc/self/fd/{number}"
        for command in (["run", "--rm", "-w", path, busybox], ["exec", "-w", path, "target"]):
            done = daemon.docker(*command, "ls", f"../../../../..{daemon.base}", check=False)
            assert done.returncode != 0, command


def test_symlinks_that_change(daemon: Daemon, busybox: str, secret: Path, tmp_path: Path) -> None:
    daemon.docker("volume", "create", "shared")
    daemon.docker("run", "-d", "--name", "racer", "-v", "shared:/v", busybox,
                  "sh", "-c", SWAP.format(target=secret))  # fmt: skip
    (tmp_path / "planted").write_text("x")
    (tmp_path / "tree" / "d" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "d" / "planted").write_text("x")
    for _ in range(12):
        got = tmp_path / "got"
        daemon.docker("cp", "-q", "racer:/v/d/file", str(got), check=False)
        assert not got.exists() or got.read_text() != "secret"
        daemon.docker("cp", "-q", str(tmp_path / "planted"), "racer:/v/d/", check=False)
        for tree in ("racer:/v/d/.", "racer:/v"):
            copied = tmp_path / "copied"
            shutil.rmtree(copied, ignore_errors=True)
            daemon.docker("cp", "-q", tree, str(copied), check=False)
            files = [path for path in copied.rglob("*") if path.is_file() and not path.is_symlink()]
            assert "secret" not in [path.read_text() for path in files]
        daemon.docker("cp", "-q", str(tmp_path / "tree") + "/.", "racer:/v", check=False)
        daemon.docker("exec", "-w", "/v/d", "racer", "touch", "planted", check=False)
        mount = "type=volume,src=shared,dst=/x,volume-subpath=d"
        done = daemon.docker(
            "run", "--rm", "--mount", mount, busybox, "cat", "/x/file", check=False
        )
        assert done.stdout == ""
        done = daemon.docker("run", "--rm", "-v", "shared:/v", "-v", "fresh:/v/d/x", busybox,
                             "true", check=False)  # fmt: skip
        assert [path.name for path in secret.iterdir()] == ["file"]
    daemon.docker("rm", "-f", "racer")


@pytest.mark.parametrize(
    "wrong",
    [
        {"HostConfig": {"ExtraHosts": ["a\n6.6.6.6 registry:1.2.3.4"]}},
        {"HostConfig": {"ExtraHosts": ["a registry:6.6.6.6"]}},
        {"HostConfig": {"Dns": ["1.2.3.4\nnameserver 6.6.6.6"]}},
        {"HostConfig": {"DnsSearch": ["a\nnameserver 6.6.6.6"]}},
        {"HostConfig": {"DnsOptions": ["a\nnameserver 6.6.6.6"]}},
        {"HostConfig": {"Sysctls": {"net/../kernel/core_pattern": "|/x"}}},
        {"HostConfig": {"CgroupParent": "../../x"}},
        {"HostConfig": {"Tmpfs": {"/t": "lowerdir=/"}}},
        {"HostConfig": {"Binds": ["/tmp\0:/x"]}},
        {"NetworkingConfig": {"EndpointsConfig": {"bridge": {"Aliases": ["a\ninclude /etc/passwd"]}}}},
        {"Hostname": "a\n6.6.6.6 registry"},
        {"Domainname": "a\n6.6.6.6 registry"},
        {"Env": ["A=b\0C=d"]},
        {"User": "0\0"},
        {"WorkingDir": "/a\0b"},
        {"Cmd": ["a\0b"]},
        {"Volumes": {"/a\0b": {}}},
    ],
    ids=str,
)  # fmt: skip
def test_requests_that_would_spill_over(
    daemon: Daemon, busybox: str, wrong: dict[str, Any]
) -> None:
    status, answer = daemon.api("POST", "/containers/create", {"Image": busybox, **wrong})
    assert status == 400, answer


def test_requests_that_are_a_burden(daemon: Daemon, busybox: str) -> None:
    slow = []
    for _ in range(300):
        client = socket.socket(socket.AF_UNIX)
        client.connect(daemon.socket)
        client.send(b"POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n")
        slow.append(client)
    daemon.docker("run", "-d", "--name", "watched", busybox, "sleep", "1000")
    attached = [daemon_hijack(daemon, "watched") for _ in range(300)]
    assert daemon.docker("exec", "watched", "echo", "ok").stdout == "ok\n"
    for client in (*slow, *attached):
        client.close()
    for path in (
        "/containers/..%2f..%2fetc/json",
        "/volumes/..%2f..",
        "/v1.50/../info",
        "/exec/%00/json",
    ):
        # An unclean path is redirected to a clean one, as Docker's router does.
        assert daemon.api("GET", path)[0] in (301, 400, 404)
    deep = UnixConnection(daemon.socket)
    deep.request("POST", "/containers/create", "[" * 500_000, {"Content-Type": "application/json"})
    assert deep.getresponse().status == 400
    deep.close()
    big = UnixConnection(daemon.socket)
    with contextlib.closing(big), contextlib.suppress(OSError, http.client.HTTPException):
        big.request("GET", "/info", headers={"X": "a" * (64 << 20)})
        assert big.getresponse().status == 400
    daemon.docker("rm", "-f", "watched")


def daemon_hijack(daemon: Daemon, name: str) -> socket.socket:
    """Attach to a container, and read nothing."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(daemon.socket)
    client.send(f"POST /containers/{name}/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
                "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())  # fmt: skip
    return client


def test_secrets_stay_out_of_the_log(daemon: Daemon, busybox: str) -> None:
    daemon.docker("build", "--build-arg", "TOKEN=hush-1", "-", input=f"FROM {busybox}\nARG TOKEN\n")
    daemon.docker("login", "-u", "me", "-p", "hush-2", "127.0.0.1:1", check=False)
    daemon.docker("run", "--rm", "-e", "PASSWORD=hush-3", busybox, "true")
    assert "hush-" not in daemon.log
    mode = os.stat(daemon.socket).st_mode
    assert not mode & 0o007
