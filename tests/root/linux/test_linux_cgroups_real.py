"""Cgroups on the real kernel, in whichever version its controllers are.

Run on a machine with v1 (where v2 is tried too, as far as it goes without controllers), and in a
guest with v2 (`tests/guest`).
"""

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


def fork_into(group: Group) -> tuple[int, int]:
    """Fork a child into the group; as in `os.fork`, the child gets 0. Then comes its pidfd."""
    directory = -1
    if group.directory():
        directory = os.open(group.directory(), os.O_RDONLY | os.O_CLOEXEC)
    pid, descriptor = syscalls.clone3(0, exit_signal=signal.SIGCHLD, cgroup=directory)
    if pid == 0:
        for file in group.join_files():
            write(file, "0")
    if directory >= 0:
        os.close(directory)
    return pid, descriptor


def born_in(group: Group) -> tuple[int, int, int]:
    """Fork a child into the group; it tells what it may open, and waits to be killed."""
    reading, writing = os.pipe()
    pid, descriptor = fork_into(group)
    if pid == 0:
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
    return pid, descriptor, reading


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_from_birth_to_end(tag: str, version: int) -> None:
    layout = detect()
    if version == 2 and not layout.unified:
        pytest.fail("no cgroup2 is mounted")
    if version == 1 and layout.version == 2:
        return
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
    layout = detect()
    place = Path(layout.unified if layout.version == 2 else layout.v1["pids"]) / f"{tag}-others"
    place.mkdir()
    group = open_group(f"{place.name}/f")
    group.create({}, no_warning)
    group.remove()
    assert place.is_dir()
    place.rmdir()


def test_notices_of_memory_running_out(tag: str) -> None:
    notices = OomNotices()
    group, other = open_group(f"{tag}/i"), open_group(f"{tag}/j")
    try:
        for made in (group, other):
            made.create({"memory": {"limit": 8 << 20, "swap": 8 << 20}}, no_warning)
            assert notices.watch(made.path, made) is False
        assert notices.ready() == []
        descriptor = eat_memory(group)
        told: list[object] = []
        while not told:  # v2 tells of the limit being hit, too, which is no such notice
            assert select.select([notices], [], [], 10)[0], "no notice came"
            told = notices.ready()
        assert told == [group.path]
        assert pidfd.wait(descriptor).signal == signal.SIGKILL
        os.close(descriptor)
        assert group.oom_kills() == 1
        notices.forget(group.path)
        assert notices.watch(group.path, group) is True
        other.remove()  # v1 tells of that too, and it is no such notice
        assert notices.ready() == []
        notices.forget(group.path)
    finally:
        group.remove()
        notices.close()


def eat_memory(group: Group) -> int:
    """Fork a child into the group that takes more memory than it may have; return its pidfd."""
    pid, descriptor = fork_into(group)
    if pid == 0:
        taken = [bytearray(b"x") * (1 << 20) for _ in range(64)]
        os._exit(len(taken))
    return descriptor
