"""The daemon on a system with v2 only: containers by its API, with limits, figures and ends."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.e2e.e2e_daemon import UnixConnection, busybox_tar

from tiffin.engine.roots import Roots

START_TIMEOUT_S = 120.0


class Engine:
    """A daemon in the guest, and its API."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.roots = Roots(base / "data", base / "run")
        self.socket = str(base / "s")
        (base / "empty.json").write_text("{}")
        self.log = base / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tiffin.daemon.main", "--data-root", str(self.roots.data),
                 "--exec-root", str(self.roots.exec), "--host", f"unix://{self.socket}",
                 "--config-file", str(base / "empty.json")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return self.call("GET", "/_ping")[0] == 200
        except OSError:
            return False

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Make one request; return the status and the decoded JSON, or the text."""
        with contextlib.closing(UnixConnection(self.socket)) as connection:
            if isinstance(body, bytes):
                connection.request(method, path, body, {"Content-Type": "application/x-tar"})
            else:
                data = None if body is None else json.dumps(body)
                connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read().decode()
        try:
            return response.status, json.loads(text)
        except ValueError:
            return response.status, text

    def run(self, name: str, command: str, **host: object) -> dict[str, Any]:
        """Create and start a container; return the answer to the creation."""
        body = {"Image": "bb", "Cmd": ["/bin/busybox", "sh", "-c", command], "HostConfig": host}
        status, created = self.call("POST", f"/containers/create?name={name}", body)
        assert status == 201, created
        status, answer = self.call("POST", f"/containers/{name}/start")
        assert status == 204, (answer, self.log.read_text())
        assert isinstance(created, dict)
        return created

    def inspect(self, name: str) -> dict[str, Any]:
        """Describe a container."""
        found = self.call("GET", f"/containers/{name}/json")[1]
        assert isinstance(found, dict)
        return found

    def group(self, name: str) -> Path:
        """Return the directory of a container's cgroup."""
        return Path("/sys/fs/cgroup") / self.roots.tag / str(self.inspect(name)["Id"])

    def remove(self, name: str) -> None:
        """Remove it by force."""
        assert self.call("DELETE", f"/containers/{name}?force=1")[0] == 204


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    base = tmp_path_factory.mktemp("engine")
    subprocess.run(["mount", "-t", "xfs", "-o", "pquota", "/dev/vdc", str(base)], check=True)
    made = Engine(base)
    status, text = made.call("POST", "/images/create?fromSrc=-&repo=bb", busybox_tar())
    assert status == 200, text
    yield made
    made.process.terminate()
    assert made.process.wait(60) == 0
    assert not (Path("/sys/fs/cgroup") / made.roots.tag).exists()


def test_what_the_kernel_offers(engine: Engine) -> None:
    info = engine.call("GET", "/info")[1]
    offers = ("MemoryLimit", "SwapLimit", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit")
    assert {name: info[name] for name in offers} == dict.fromkeys(offers, True)
    assert (info["CgroupVersion"], info["CgroupDriver"]) == ("2", "cgroupfs")
    assert not info["OomKillDisable"]
    assert not [line for line in info["Warnings"] or () if "support" in line]


def test_limits_of_a_container_and_their_change(engine: Engine) -> None:
    created = engine.run(
        "one",
        "while :; do :; done",
        Memory=64 << 20,
        NanoCpus=300_000_000,
        PidsLimit=20,
        CpuShares=2048,
        MemorySwappiness=10,
        OomKillDisable=True,
        BlkioDeviceWriteBps=[{"Path": "/dev/vdb", "Rate": 1 << 20}],
    )
    swappiness, oom = created["Warnings"]
    assert "memory swappiness capabilities" in swappiness
    assert oom == "Your kernel does not support OomKillDisable. OomKillDisable discarded."
    group = engine.group("one")

    def values(*files: str) -> list[str]:
        return [(group / file).read_text().strip() for file in files]

    assert values("memory.max", "memory.swap.max", "pids.max", "cpu.max", "cpu.weight") == [
        str(64 << 20), str(64 << 20), "20", "30000 100000", "79",
    ]  # fmt: skip
    assert "wbps=1048576" in (group / "io.max").read_text()
    change = {"Memory": 32 << 20, "MemorySwap": 48 << 20, "PidsLimit": -1, "NanoCpus": 200_000_000}
    assert engine.call("POST", "/containers/one/update", change) == (200, {"Warnings": None})
    assert values("memory.max", "memory.swap.max", "pids.max", "cpu.max") == [
        str(32 << 20), str(16 << 20), "max", "20000 100000",
    ]  # fmt: skip
    figures = engine.call("GET", "/containers/one/stats?stream=0")[1]
    used = figures["cpu_stats"]["cpu_usage"]["total_usage"]
    used -= figures["precpu_stats"]["cpu_usage"]["total_usage"]
    assert used / 1e9 == pytest.approx(0.2, abs=0.1)
    assert figures["memory_stats"]["limit"] == 32 << 20
    assert figures["memory_stats"]["stats"]["inactive_file"] >= 0
    assert figures["pids_stats"]["current"] == 1
    assert "eth0" in figures["networks"]
    top = engine.call("GET", "/containers/one/top?ps_args=-o%20pid,args")[1]
    assert top["Processes"][0][1].startswith("/bin/busybox sh -c while")
    assert engine.call("POST", "/containers/one/pause")[0] == 204
    assert (group / "cgroup.freeze").read_text() == "1\n"
    assert engine.inspect("one")["State"]["Status"] == "paused"
    assert engine.call("POST", "/containers/one/unpause")[0] == 204
    engine.remove("one")
    assert not group.exists()


def test_an_exec_stands_in_the_group_and_devices_are_filtered(engine: Engine) -> None:
    engine.run("two", "sleep 1000", Devices=[
        {"PathOnHost": "/dev/vdb", "PathInContainer": "/dev/x", "CgroupPermissions": "r"}
    ])  # fmt: skip
    script = (
        "cat /proc/self/cgroup; (: < /dev/x) && echo read; (: > /dev/x) 2>&1;"
        " /bin/busybox mknod /dev/y b 254 0 && (: < /dev/y) 2>&1; exit 7"
    )
    body = {"Cmd": ["/bin/busybox", "sh", "-c", f"PATH=/bin; alias cat='busybox cat'; {script}"],
            "AttachStdout": True, "AttachStderr": True}  # fmt: skip
    identifier = engine.call("POST", "/containers/two/exec", body)[1]["Id"]
    pids = (engine.group("two") / "cgroup.procs").read_text().split()
    assert len(pids) == 1
    output = engine.call("POST", f"/exec/{identifier}/start", {"Detach": False, "Tty": True})[1]
    assert "0::/\n" in output.replace("\r", ""), output
    assert "read" in output
    assert output.count("Operation not permitted") >= 1
    assert engine.call("GET", f"/exec/{identifier}/json")[1]["ExitCode"] == 7
    engine.remove("two")


def test_memory_that_runs_out(engine: Engine) -> None:
    engine.run("three", "busybox tail /dev/zero; echo; exec busybox tail /dev/zero",
               Memory=16 << 20, MemorySwap=16 << 20)  # fmt: skip
    assert engine.call("POST", "/containers/three/wait")[1]["StatusCode"] == 137
    state = engine.inspect("three")["State"]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    with contextlib.closing(UnixConnection(engine.socket)) as connection:
        filters = quote(json.dumps({"container": ["three"]}))
        connection.request("GET", f"/events?until={int(time.time()) + 1}&filters={filters}")
        lines = connection.getresponse().read().decode().splitlines()
    actions = [json.loads(line)["Action"] for line in lines]
    assert actions.count("oom") == 2
    assert actions.index("oom") < actions.index("die")
    engine.remove("three")


def last_number(output: str) -> int:
    """Return the number that framed output ends with."""
    found = re.search(r"(\d+)\s*$", output)
    assert found, output
    return int(found[1])


def test_a_layer_of_limited_size(engine: Engine) -> None:
    script = "busybox dd if=/dev/zero of=/big bs=1M count=20 2>&1; busybox stat -c %s /big"
    engine.run("full", script, StorageOpt={"size": "8M"})
    assert engine.call("POST", "/containers/full/wait")[1]["StatusCode"] == 0
    output = engine.call("GET", "/containers/full/logs?stdout=1&stderr=1")[1]
    assert "No space left on device" in output
    assert 6 << 20 < last_number(output) <= 8 << 20
    engine.remove("full")
    engine.run("wide", script)
    assert engine.call("POST", "/containers/wide/wait")[1]["StatusCode"] == 0
    output = engine.call("GET", "/containers/wide/logs?stdout=1&stderr=1")[1]
    assert last_number(output) == 20 << 20
    engine.remove("wide")


def test_a_parent_of_the_users_own(engine: Engine) -> None:
    engine.run("four", "sleep 1000", CgroupParent="/mine/below", Memory=32 << 20)
    identifier = engine.inspect("four")["Id"]
    place = Path("/sys/fs/cgroup/mine/below") / identifier
    assert (place / "memory.max").read_text() == f"{32 << 20}\n"
    engine.remove("four")
    assert not Path("/sys/fs/cgroup/mine").exists()


def test_containers_go_on_without_the_daemon(engine: Engine) -> None:
    engine.run("five", "sleep 1000", Memory=32 << 20)
    pid = engine.inspect("five")["State"]["Pid"]
    engine.process.kill()
    engine.process.wait()
    os.kill(pid, 0)
    other = Engine(engine.base)
    engine.process = other.process
    assert engine.inspect("five")["State"]["Pid"] == pid
    change = {"Memory": 48 << 20, "MemorySwap": -1}
    assert engine.call("POST", "/containers/five/update", change)[0] == 200
    assert (engine.group("five") / "memory.max").read_text() == f"{48 << 20}\n"
    engine.remove("five")
