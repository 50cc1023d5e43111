"""Cgroups on the real kernel: v1 as mounted, and what of v2 works in a hybrid set-up."""

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiffin.linux import pidfd, syscalls
from tiffin.linux.cgroups.group import Group, write
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.linux.cgroups.layout import detect
from tiffin.linux.cgroups.oom import OomNotices
from tiffin.linux.cgroups.v2 import GroupV2

pytestmark = pytest.mark.root

DENY: dict[str, Any] = {"allow": False, "access": "rwm"}
NULL_READ: dict[str, Any] = {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}


@pytest.fixture
def tag() -> Iterator[str]:
    name = f"tfcg{os.getpid()}"
    yield name
    layout = detect()
    for place in {*layout.v1.values(), layout.unified} - {""}:
        assert not os.path.exists(f"{place}/{name}")


def no_warning(text: str) -> None:
    raise AssertionError(text)


def born_in(group: Group) -> tuple[int, int, int]:
    """Fork a child into the group; it tells what it may open, and waits to be killed."""
    reading, writing = os.pipe()
    directory = -1
    if group.directory():
        directory = os.open(group.directory(), os.O_RDONLY | os.O_CLOEXEC)
    pid, descriptor = syscalls.clone3(0, exit_signal=signal.SIGCHLD, cgroup=directory)
    if pid == 0:
        for file in group.join_files():
            write(file, "0")
        for path, flags in (
            ("/dev/null", os.O_RDONLY),
            ("/dev/null", os.O_WRONLY),
            ("/dev/zero", 0),
        ):
            try:
                os.open(path, flags)
                os.write(writing, b"y")
            except OSError:
                os.write(writing, b"n")
        signal.pause()
    os.close(writing)
    if directory >= 0:
        os.close(directory)
    return pid, descriptor, reading


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_from_birth_to_end(tag: str, version: int) -> None:
    layout = detect()
    if version == 2 and not layout.unified:
        pytest.fail("no cgroup2 is mounted")
    group: Group = open_group(f"{tag}/a", layout) if version == 1 else GroupV2(f"/{tag}/a", layout)
    group.create({"devices": [DENY, NULL_READ]}, no_warning)
    try:
        pid, descriptor, reading = born_in(group)
        assert os.read(reading, 1) + os.read(reading, 1) + os.read(reading, 1) == b"ynn"
        os.close(reading)
        assert group.pids() == [pid]
        with pytest.raises(OSError, match="has processes already"):
            group.create({}, no_warning)
        assert not group.is_frozen()
        group.freeze()
        assert group.is_frozen()
        group.thaw()
        group.update({"devices": [{"allow": True}]}, no_warning)
        group.kill()
        assert pidfd.wait(descriptor).signal == signal.SIGKILL
        os.close(descriptor)
    finally:
        group.remove()
    group.remove()


def test_limits_are_what_was_asked_for(tag: str) -> None:
    layout = detect()
    if layout.version != 1:
        pytest.fail("this test is for v1")
    group = open_group(f"{tag}/b", layout)
    resources = {
        "memory": {"limit": 32 << 20, "swap": 64 << 20},
        "cpu": {"shares": 512, "quota": 20000, "period": 50000, "cpus": "0"},
        "pids": {"limit": 12},
    }
    group.create(resources, no_warning)
    try:
        for controller, file, value in (
            ("memory", "memory.limit_in_bytes", str(32 << 20)),
            ("memory", "memory.memsw.limit_in_bytes", str(64 << 20)),
            ("cpu", "cpu.shares", "512"),
            ("cpu", "cpu.cfs_quota_us", "20000"),
            ("cpuset", "cpuset.cpus", "0"),
            ("pids", "pids.max", "12"),
        ):
            path = Path(f"{layout.v1[controller]}/{tag}/b/{file}")
            assert path.read_text().strip() == value
        # Above the old memory+swap limit, and then below the new one again.
        group.update({"memory": {"limit": 128 << 20, "swap": 128 << 20}}, no_warning)
        group.update({"memory": {"limit": 16 << 20, "swap": 16 << 20}}, no_warning)
        assert group.stats()["memory"]["limit"] == 16 << 20
    finally:
        group.remove()


def test_a_create_that_fails_leaves_nothing(tag: str) -> None:
    group = open_group(f"{tag}/c")
    with pytest.raises(OSError, match="cpuset"):
        group.create({"cpu": {"cpus": "4095"}}, no_warning)


def test_siblings_share_a_parent_that_goes_with_the_last(tag: str) -> None:
    first, second = open_group(f"{tag}/d"), open_group(f"{tag}/e")
    first.create({}, no_warning)
    second.create({}, no_warning)
    first.remove()
    assert second.stats()["pids"]["current"] == 0
    second.remove()


def test_a_parent_that_others_made_stays(tag: str) -> None:
    place = Path(detect().v1["pids"]) / f"{tag}-others"
    place.mkdir()
    group = open_group(f"{place.name}/f")
    group.create({}, no_warning)
    group.remove()
    assert place.is_dir()
    place.rmdir()


def test_realtime_is_granted_by_the_parents_that_we_made(tag: str) -> None:
    place = detect().v1["cpu"]
    if not os.path.exists(f"{place}/cpu.rt_runtime_us"):
        pytest.fail("this kernel does not schedule groups in real time")
    first, second = open_group(f"{tag}/g"), open_group(f"{tag}/h")
    try:
        first.create({"cpu": {"realtimePeriod": 500_000, "realtimeRuntime": 50_000}}, no_warning)
        second.create({"cpu": {"realtimeRuntime": 20_000}}, no_warning)
        assert Path(f"{place}/{tag}/g/cpu.rt_runtime_us").read_text() == "50000\n"
        assert Path(f"{place}/{tag}/cpu.rt_runtime_us").read_text() == "120000\n"
        first.update({"cpu": {"realtimePeriod": 250_000}}, no_warning)
        assert Path(f"{place}/{tag}/cpu.rt_runtime_us").read_text() == "220000\n"
        with pytest.raises(OSError, match="rt_runtime_us"):  # more than the machine has
            second.update({"cpu": {"realtimeRuntime": 960_000}}, no_warning)
    finally:
        first.remove()
        second.remove()


def test_notices_of_memory_running_out(tag: str) -> None:
    notices = OomNotices()
    group, other = open_group(f"{tag}/i"), open_group(f"{tag}/j")
    try:
        for made in (group, other):
            made.create({"memory": {"limit": 8 << 20, "swap": 8 << 20}}, no_warning)
            assert notices.watch(made.path, made) is False
        assert notices.ready() == []
        descriptor = eat_memory(group)
        assert select.select([notices], [], [], 10)[0], "no notice came"
        assert notices.ready() == [group.path]
        assert pidfd.wait(descriptor).signal == signal.SIGKILL
        os.close(descriptor)
        assert group.oom_kills() == 1
        assert OomNotices().watch("later", group) is True
        other.remove()  # v1 tells of that too, and it is no such notice
        assert notices.ready() == []
        notices.forget(group.path)
    finally:
        group.remove()
        notices.close()


def eat_memory(group: Group) -> int:
    """Fork a child into the group that takes more memory than it may have."""
    pid, descriptor = syscalls.clone3(0, exit_signal=signal.SIGCHLD)
    if pid == 0:
        for file in group.join_files():
            write(file, "0")
        taken = [bytearray(b"x") * (1 << 20) for _ in range(64)]
        os._exit(len(taken))
    return descriptor
