"""The daemon as such, driven by the real client."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e


def test_version(daemon: Daemon) -> None:
    told = json.loads(daemon.docker("version", "--format", "json").stdout)
    assert told["Server"]["ApiVersion"] == "1.50"
    assert told["Server"]["MinAPIVersion"] == "1.24"
    assert told["Server"]["Os"] == "linux"
    assert told["Server"]["KernelVersion"] == os.uname().release


def test_info_tells_the_truth(daemon: Daemon) -> None:
    told = json.loads(daemon.docker("info", "--format", "json").stdout)
    assert told["DockerRootDir"] == str(daemon.roots.data)
    assert told["Architecture"] == os.uname().machine
    assert told["NCPU"] == len(os.sched_getaffinity(0))
    assert told["Swarm"]["LocalNodeState"] == "inactive"
    assert told["LiveRestoreEnabled"]
    assert told["ID"] == (daemon.roots.data / "engine-id").read_text()


def test_old_clients_are_served(daemon: Daemon) -> None:
    assert daemon.api("GET", "/v1.24/version")[0] == 200
    status, body = daemon.api("GET", "/v1.99/version")
    assert status == 400
    assert "is too new. Maximum supported API version is 1.50" in body["message"]


def test_swarm_is_refused_as_docker_refuses_it(daemon: Daemon) -> None:
    done = daemon.docker("node", "ls", check=False)
    assert done.returncode == 1
    assert "This node is not a swarm manager" in done.stderr


def test_events_of_the_past_end_by_themselves(daemon: Daemon) -> None:
    now = int(time.time())
    daemon.docker("events", "--since", str(now - 1), "--until", str(now))


def test_restart_and_kill_keep_the_identity(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    identity = daemon.docker("info", "--format", "{{.ID}}").stdout
    daemon.restart()
    assert daemon.docker("info", "--format", "{{.ID}}").stdout == identity
    daemon.kill9()
    assert Path(daemon.socket).exists()
    daemon.start()
    assert daemon.docker("info", "--format", "{{.ID}}").stdout == identity
    assert daemon.stop() == 0
    assert not Path(daemon.socket).exists()


def test_a_second_daemon_on_the_same_roots_is_refused(daemon: Daemon) -> None:
    done = daemon.run(
        sys.executable, "-m", "tiffin.daemon.main", "--data-root", str(daemon.roots.data),
        "--exec-root", str(daemon.base / "other"),
        "-H", f"unix://{daemon.base}/other.sock", check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "another daemon is running" in done.stderr


def test_reload_applies_labels(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    (daemon.base / "daemon.json").write_text('{"labels": ["rack=7"]}')
    os.kill(daemon.pid, signal.SIGHUP)
    daemon.wait_until(
        lambda: "rack=7" in daemon.docker("info", "--format", "{{.Labels}}").stdout, "reloaded"
    )


PASS_SOCKET = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_readiness_is_told_and_a_passed_socket_is_used() -> None:
    daemon = Daemon()
    address = str(daemon.base / "notify")
    try:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener,
        ):
            manager.bind(address)
            manager.settimeout(20)
            listener.bind(daemon.socket)
            listener.listen()
            fd = listener.fileno()
            process = subprocess.Popen(
                [sys.executable, "-c", PASS_SOCKET, str(fd), *daemon.command("fd://")],
                pass_fds=[fd],
                env={**os.environ, "NOTIFY_SOCKET": address},
            )
            try:
                assert manager.recv(100) == b"READY=1"
                assert "Server" in daemon.docker("version").stdout
            finally:
                process.terminate()
                assert process.wait(20) == 0
            assert manager.recv(100) == b"STOPPING=1"
    finally:
        daemon.take_away()


def test_defaults_of_the_daemon_reach_containers(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon(
        "--default-ulimit", "nofile=123:456", "--no-new-privileges", "--default-shm-size", "8m",
        "--init", "--log-driver", "none", "--dns", "192.0.2.53", "--dns-search", "example.org",
    )  # fmt: skip
    image = daemon.import_busybox()
    script = (
        "ulimit -n; ulimit -Hn; grep NoNewPrivs /proc/self/status; df -k /dev/shm | tail -1;"
        " cat /proc/1/comm; cat /etc/resolv.conf"
    )
    told = daemon.docker("run", "--rm", image, "sh", "-c", script).stdout
    assert told.startswith("123\n456\n")
    assert "NoNewPrivs:\t1" in told
    assert "8192" in told
    assert "tiffin-init" in told
    assert "192.0.2.53" in told
    assert "search example.org" in told
    kept = daemon.docker("run", "-d", image, "echo", "x").stdout.strip()
    daemon.docker("wait", kept)
    assert "configured logging driver does not support reading" in (
        daemon.docker("logs", kept, check=False).stderr
    )


def test_devices_that_a_vendor_describes(
    make_daemon: Callable[..., Daemon], tmp_path: Path
) -> None:
    (tmp_path / "vendor.yaml").write_text(
        "{cdiVersion: 0.6.0, kind: vendor.com/card, devices: [{name: one, containerEdits: {"
        "env: [CARD=one], deviceNodes: [{path: /dev/card, hostPath: /dev/zero}]}}]}"
    )
    daemon = make_daemon("--cdi-spec-dir", str(tmp_path))
    image = daemon.import_busybox()
    shown = daemon.docker("info", "--format", "{{json .DiscoveredDevices}}").stdout
    assert json.loads(shown) == [{"Source": "cdi", "ID": "vendor.com/card=one"}]
    told = daemon.docker(
        "run", "--rm", "--device", "vendor.com/card=one", image,
        "sh", "-c", "echo $CARD; head -c 2 /dev/card | od -An -tx1",
    )  # fmt: skip
    assert told.stdout.split() == ["one", "00", "00"]
    for arguments, words in (
        (("--device", "vendor.com/card=two"), "unresolvable CDI devices vendor.com/card=two"),
        (("--gpus", "all"), 'could not select device driver "" with capabilities: [[gpu]]'),
    ):
        failed = daemon.docker("run", "--rm", *arguments, image, "true", check=False)
        assert failed.returncode == 125
        assert words in failed.stderr


def test_disk_usage_counts_everything(daemon: Daemon, busybox: str) -> None:
    daemon.docker("volume", "create", "df-volume")
    name = daemon.docker("run", "-d", busybox, "sh", "-c", "head -c 1000000 /dev/zero > /f")
    daemon.docker("wait", name.stdout.strip())
    told = daemon.docker("system", "df", "--format", "json").stdout
    lines = {entry["Type"]: entry for entry in map(json.loads, told.splitlines())}
    assert lines["Images"]["TotalCount"] == "1"
    assert lines["Containers"]["TotalCount"] == "1"
    assert lines["Local Volumes"]["TotalCount"] == "1"
    assert lines["Containers"]["Size"] == "1MB"
    status, body = daemon.api("GET", "/system/df?type=volume")
    assert status == 200
    assert body["Containers"] is None
    daemon.clean()


def test_events_tell_a_containers_life(daemon: Daemon, busybox: str) -> None:
    since = time.time()
    daemon.docker("run", "--rm", "--name", "observed", "--label", "tier=test", busybox, "true")
    told = daemon.docker(
        "events", "--since", str(since), "--until", str(time.time()),
        "--filter", "container=observed", "--format", "{{.Action}}",
    ).stdout.split()  # fmt: skip
    assert told == ["create", "attach", "start", "die", "destroy"]
    labelled = daemon.docker(
        "events", "--since", str(since), "--until", str(time.time()), "--filter", "label=tier=test",
        "--filter", "event=die", "--format", "{{index .Actor.Attributes \"exitCode\"}}",
    ).stdout  # fmt: skip
    assert labelled == "0\n"


def test_clients_that_leave_cost_nothing(daemon: Daemon) -> None:
    directory = Path(f"/proc/{daemon.pid}/fd")
    before = len(list(directory.iterdir()))
    listening = [daemon.spawn("events") for _ in range(10)]
    daemon.wait_until(
        lambda: (
            json.loads(daemon.docker("info", "--format", "json").stdout)["NEventsListener"] == 10
        ),
        "all listen",
    )
    for client in listening:
        client.kill()
        client.communicate()
    daemon.wait_until(lambda: len(list(directory.iterdir())) <= before, "their sockets are closed")
    assert json.loads(daemon.docker("info", "--format", "json").stdout)["NEventsListener"] == 0


def test_an_idle_client_does_not_delay_the_end(make_daemon: Callable[..., Daemon]) -> None:
    daemon = make_daemon()
    follower = daemon.spawn("events")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as idle:
        idle.connect(daemon.socket)
        daemon.wait_until(
            lambda: '"NEventsListener":1' in daemon.docker("info", "--format", "json").stdout,
            "one listens",
        )
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 2
    follower.communicate(timeout=10)
