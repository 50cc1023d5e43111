"""Limits of v2 on a kernel that has nothing else: written, read back, and in force."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.root.linux.test_linux_cgroups_real import eat_memory, fork_into

from tiffin.linux import pidfd
from tiffin.linux.cgroups import v2
from tiffin.linux.cgroups.group import Resources, write
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.linux.cgroups.layout import Layout
from tiffin.linux.cgroups.v2 import GroupV2

ROOT = Path("/sys/fs/cgroup")
DATA = "/dev/vdb"


def no_warning(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def group() -> Iterator[GroupV2]:
    made = open_group("limits/one")
    assert isinstance(made, GroupV2)
    yield made
    made.remove()
    assert not (ROOT / "limits").exists()


def value(file: str) -> str:
    return (ROOT / "limits/one" / file).read_text().strip()


def device() -> dict[str, int]:
    number = os.stat(DATA).st_rdev
    return {"major": os.major(number), "minor": os.minor(number)}


def test_each_limit_arrives(group: GroupV2) -> None:
    resources: Resources = {
        "memory": {"limit": 32 << 20, "swap": 48 << 20, "reservation": 16 << 20},
        "cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "1", "mems": "0"},
        "pids": {"limit": 12},
        "blockIO": {
            "weight": 300,
            "weightDevice": [{**device(), "weight": 500}],
            "throttleReadBpsDevice": [{**device(), "rate": 1 << 20}],
            "throttleWriteIOPSDevice": [{**device(), "rate": 50}],
        },
        "unified": {"memory.high": str(24 << 20), "memory.oom.group": "1"},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
    }
    Path("/sys/block/vdb/queue/scheduler").write_text("bfq")
    group.create(resources, no_warning)
    numbers = f"{device()['major']}:{device()['minor']}"
    found = {
        file: value(file)
        for file in (
            "memory.max", "memory.swap.max", "memory.low", "memory.high", "memory.oom.group",
            "cpu.weight", "cpu.max", "cpuset.cpus", "pids.max", "io.max", "io.bfq.weight",
            "hugetlb.2MB.max",
        )
    }  # fmt: skip
    assert found == {
        "memory.max": str(32 << 20),
        "memory.swap.max": str(16 << 20),
        "memory.low": str(16 << 20),
        "memory.high": str(24 << 20),
        "memory.oom.group": "1",
        "cpu.weight": str(v2.weight_of_shares(512)),
        "cpu.max": "20000 50000",
        "cpuset.cpus": "1",
        "pids.max": "12",
        "io.max": f"{numbers} rbps=1048576 wbps=max riops=max wiops=50",
        "io.bfq.weight": f"default 300\n{numbers} 500",
        "hugetlb.2MB.max": str(4 << 20),
    }
    group.update({"cpu": {"quota": -1, "period": 100000}, "pids": {"limit": -1}}, no_warning)
    group.update({"memory": {"limit": 64 << 20, "swap": -1}}, no_warning)
    changed = [value(file) for file in ("cpu.max", "pids.max", "memory.max", "memory.swap.max")]
    assert changed == ["max 100000", "max", str(64 << 20), "max"]
    with pytest.raises(OSError, match=r"cpuset\.cpus"):
        group.update({"cpu": {"cpus": "4095"}}, no_warning)


def test_too_many_processes(group: GroupV2) -> None:
    group.create({"pids": {"limit": 2}}, no_warning)
    reading, writing = os.pipe()
    pid, descriptor = fork_into(group)
    if pid == 0:
        made = 0
        try:
            while made < 10:
                if os.fork() == 0:
                    signal.pause()
                made += 1
        except OSError:
            os.write(writing, str(made).encode())
        signal.pause()
    assert os.read(reading, 8) == b"1"
    assert group.stats()["pids"] == {"current": 2, "limit": 2}
    group.kill()
    pidfd.wait(descriptor)
    for fd in (descriptor, reading, writing):
        os.close(fd)


def test_processor_time_is_limited_and_counted(group: GroupV2) -> None:
    group.create({"cpu": {"quota": 20000, "period": 100000}}, no_warning)
    pid, descriptor = fork_into(group)
    if pid == 0:
        while True:
            pass
    time.sleep(0.3)
    before, began = group.stats()["cpu"], time.monotonic()
    time.sleep(3)
    after, passed = group.stats()["cpu"], time.monotonic() - began
    assert (after["total_ns"] - before["total_ns"]) / passed / 1e9 == pytest.approx(0.2, abs=0.05)
    assert after["throttled_periods"] > before["throttled_periods"]
    assert after["throttled_ns"] > before["throttled_ns"]
    assert after["user_ns"] + after["kernel_ns"] == pytest.approx(after["total_ns"], rel=0.01)
    group.freeze()
    still = group.stats()["cpu"]["total_ns"]
    time.sleep(0.3)
    assert group.stats()["cpu"]["total_ns"] == still
    assert group.is_frozen()
    group.thaw()
    group.kill()
    pidfd.wait(descriptor)
    os.close(descriptor)


def test_writing_is_slowed_down_and_counted(group: GroupV2) -> None:
    rate = {**device(), "rate": 1 << 20}
    group.create({"blockIO": {"throttleWriteBpsDevice": [rate]}}, no_warning)
    began = time.monotonic()
    pid, descriptor = fork_into(group)
    if pid == 0:
        os.execv("/bin/busybox", ["dd", "if=/dev/zero", f"of={DATA}", "bs=1M", "count=3",
                                  "oflag=direct"])  # fmt: skip
    assert pidfd.wait(descriptor).code == 0
    os.close(descriptor)
    assert time.monotonic() - began > 1.5
    written = [
        entry["value"]
        for entry in group.stats()["blkio"]["io_service_bytes_recursive"]
        if (entry["minor"], entry["op"]) == (device()["minor"], "write")
    ]
    assert written == [3 << 20]


def test_memory_is_limited_and_counted(group: GroupV2) -> None:
    group.create({"memory": {"limit": 16 << 20, "swap": 16 << 20}}, no_warning)
    descriptor = eat_memory(group)
    assert pidfd.wait(descriptor).signal == signal.SIGKILL
    os.close(descriptor)
    memory = group.stats()["memory"]
    assert memory["oom_kills"] == 1
    assert memory["failcnt"] >= 1
    assert memory["limit"] == 16 << 20
    assert {"anon", "file", "inactive_file", "slab"} <= set(memory["stats"])


def test_a_parent_with_processes_cannot_hand_down() -> None:
    parent = ROOT / "inhabited"
    parent.mkdir()
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        write(f"{parent}/cgroup.procs", str(pid))
        group = open_group("inhabited/one")
        with pytest.raises(OSError, match="has processes of its own"):
            group.create({"memory": {"limit": 16 << 20}}, no_warning)
        assert not (parent / "one").exists()
        group.create({}, no_warning)  # without limits it does well enough
        group.remove()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        parent.rmdir()


def test_what_looks_like_the_root_is_evacuated() -> None:
    """As in a container with a cgroup namespace, where the engine itself stands in the root."""
    place = ROOT / "nested"
    place.mkdir()
    pid = os.fork()
    if pid == 0:
        signal.pause()
    write(f"{ROOT}/cgroup.subtree_control", "+memory +pids")
    write(f"{place}/cgroup.procs", str(pid))
    try:
        group = GroupV2("/tiffin/one", Layout(unified=str(place), controllers=("memory", "pids")))
        group.create({"memory": {"limit": 16 << 20}}, no_warning)
        assert (place / "init/cgroup.procs").read_text() == f"{pid}\n"
        assert (place / "tiffin/one/memory.max").read_text() == f"{16 << 20}\n"
        group.remove()
        assert not (place / "tiffin").exists()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        (place / "init").rmdir()
        place.rmdir()
