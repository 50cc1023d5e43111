"""What a kernel can limit, on faked trees; what is made of limits that it cannot."""

from pathlib import Path

import pytest

from tiffin.api.types.resources import Resources, ThrottleDevice
from tiffin.engine.bundle.limits import check_resources
from tiffin.errors import InvalidArgument
from tiffin.linux.cgroups.layout import Layout
from tiffin.linux.cgroups.support import Support, read_support

NOTHING = Support(
    version=1, memory=False, swap=False, reservation=False, swappiness=False,
    oom_kill_disable=False, cpu_shares=False, cpu_quota=False, cpu_realtime=False, cpuset=False,
    pids=False, io_weight=False, io_weight_device=False, read_bps=False, write_bps=False,
    read_iops=False, write_iops=False,
)  # fmt: skip


def test_v1(tmp_path: Path) -> None:
    for controller, files in {
        "memory": ("memory.oom_control", "memory.swappiness"),
        "cpu": ("cpu.shares", "cpu.cfs_quota_us"),
        "cpuset": (),
        "blkio": ("blkio.bfq.weight", "blkio.throttle.read_bps_device"),
    }.items():
        (tmp_path / controller).mkdir()
        for file in files:
            (tmp_path / controller / file).touch()
    (tmp_path / "cpuset/cpuset.cpus").write_text("0-3\n")
    names = ("memory", "cpu", "cpuset", "blkio", "pids")
    support = read_support(Layout({name: str(tmp_path / name) for name in names}))
    assert support == Support(
        version=1, swap=False, reservation=False, cpu_realtime=False, cpus="0-3",
        io_weight_device=False, write_bps=False, read_iops=False, write_iops=False,
    )  # fmt: skip
    assert read_support(Layout({"name=systemd": "/x"})) == NOTHING


def test_v2_is_told_by_a_group_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "cpuset.cpus.effective").write_text("0-1\n")
    layout = Layout(unified=str(tmp_path), controllers=("cpu", "cpuset", "io", "memory", "pids"))
    bare = read_support(layout)
    assert (bare.version, bare.cpus, bare.io_weight, bare.read_bps) == (2, "0-1", False, True)
    group = tmp_path / "system.slice"
    group.mkdir()
    for file in ("memory.max", "io.stat", "io.bfq.weight"):
        (group / file).touch()
    found = read_support(layout)
    assert (found.swap, found.io_weight, found.read_bps) == (False, True, False)
    (group / "memory.swap.max").touch()
    (group / "io.max").touch()
    found = read_support(layout)
    assert (found.swap, found.read_bps, found.oom_kill_disable) == (True, True, False)


def test_what_the_kernel_lacks_is_left_out_with_a_warning() -> None:
    wanted = Resources(
        memory=64 << 20,
        memory_swappiness=5,
        memory_reservation=32 << 20,
        oom_kill_disable=True,
        pids_limit=9,
        cpu_shares=9,
        cpu_quota=9000,
        cpuset_cpus="0",
        blkio_weight=9000,
        blkio_device_read_bps=[ThrottleDevice(path="/dev/x", rate=1)],
    )
    warnings = check_resources(wanted, NOTHING)
    assert [line.removeprefix("Your kernel does not support ")[:22] for line in warnings] == [
        "memory limit capabilit", "memory swappiness capa", "memory soft limit capa",
        "OomKillDisable. OomKil", "PIDs limit capabilitie", "CPU shares or the cgro",
        "CPU CFS scheduler. CPU", "cpuset or the cgroup i", "Block I/O weight or th",
        "BPS Block I/O read lim",
    ]  # fmt: skip
    assert wanted == Resources(memory_swap=-1, blkio_device_read_bps=[])


def test_memory_without_swap() -> None:
    wanted = Resources(memory=64 << 20)
    (warning,) = check_resources(wanted, Support(swap=False))
    assert warning.endswith("Memory limited without swap.")
    assert wanted.memory_swap == -1


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Resources(nano_cpus=10**9), "NanoCPUs can not be set"),
        (Resources(cpu_realtime_runtime=1), "kernel does not support CPU real-time scheduler"),
        (Resources(memory=1), "Minimum memory limit allowed is 6MB"),
    ],
)
def test_some_are_refused_all_the_same(wanted: Resources, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_resources(wanted, NOTHING)
    assert message in str(caught.value)
