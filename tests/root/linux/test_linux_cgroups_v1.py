"""Control groups v1 on the real kernel: what is written arrives."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.linux.cgroups.layout import detect

pytestmark = pytest.mark.root


@pytest.fixture
def tag() -> Iterator[str]:
    name = f"tfv1{os.getpid()}"
    yield name
    for place in set(detect().v1.values()):
        assert not os.path.exists(f"{place}/{name}")


def no_warning(text: str) -> None:
    raise AssertionError(text)


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


def test_a_shorter_period_under_a_limited_parent(tag: str) -> None:
    place = detect().v1["cpu"]
    group = open_group(f"{tag}/c")
    group.create({"cpu": {"quota": 40_000, "period": 100_000}}, no_warning)
    try:
        Path(f"{place}/{tag}/cpu.cfs_quota_us").write_text("50000")
        # With the old quota that would be twice what a processor has.
        group.update({"cpu": {"quota": 8_000, "period": 20_000}}, no_warning)
        assert Path(f"{place}/{tag}/c/cpu.cfs_period_us").read_text() == "20000\n"
        assert Path(f"{place}/{tag}/c/cpu.cfs_quota_us").read_text() == "8000\n"
        with pytest.raises(OSError, match="cfs_quota_us"):
            group.update({"cpu": {"quota": 30_000, "period": 10_000}}, no_warning)
    finally:
        group.remove()
