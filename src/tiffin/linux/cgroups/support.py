"""What this kernel's controllers can limit: what `info` tells, and what limits are checked against.

The files of a hierarchy's root tell in v1. In v2 the root has no limits, so a group below it is
looked at where there is one.
"""

import os
from dataclasses import dataclass

from tiffin.linux.cgroups.group import read
from tiffin.linux.cgroups.layout import Layout


@dataclass(frozen=True, slots=True)
class Support:
    """One flag for each limit; `cpus` and `mems` are lists such as `0-3` ("" if unknown)."""

    version: int = 2
    memory: bool = True
    swap: bool = True
    reservation: bool = True
    swappiness: bool = True
    oom_kill_disable: bool = True
    cpu_shares: bool = True
    cpu_quota: bool = True
    cpu_realtime: bool = True
    cpuset: bool = True
    cpus: str = ""
    mems: str = ""
    pids: bool = True
    io_weight: bool = True
    io_weight_device: bool = True
    read_bps: bool = True
    write_bps: bool = True
    read_iops: bool = True
    write_iops: bool = True


EVERYTHING = Support()


def read_support(layout: Layout) -> Support:
    """Look at the mounted hierarchies."""
    return _of_v2(layout) if layout.version == 2 else _of_v1(layout)


def _of_v1(layout: Layout) -> Support:
    def has(controller: str, *files: str) -> bool:
        place = layout.v1.get(controller, "")
        return bool(place) and any(os.path.exists(f"{place}/{file}") for file in files)

    cpuset = layout.v1.get("cpuset", "")
    return Support(
        version=1,
        memory="memory" in layout.v1,
        swap=has("memory", "memory.memsw.limit_in_bytes"),
        reservation=has("memory", "memory.soft_limit_in_bytes"),
        swappiness=has("memory", "memory.swappiness"),
        oom_kill_disable=has("memory", "memory.oom_control"),
        cpu_shares=has("cpu", "cpu.shares"),
        cpu_quota=has("cpu", "cpu.cfs_quota_us"),
        cpu_realtime=has("cpu", "cpu.rt_period_us"),
        cpuset=bool(cpuset),
        cpus=_text(f"{cpuset}/cpuset.cpus"),
        mems=_text(f"{cpuset}/cpuset.mems"),
        pids="pids" in layout.v1,
        io_weight=has("blkio", "blkio.weight", "blkio.bfq.weight"),
        io_weight_device=has("blkio", "blkio.weight_device", "blkio.bfq.weight_device"),
        read_bps=has("blkio", "blkio.throttle.read_bps_device"),
        write_bps=has("blkio", "blkio.throttle.write_bps_device"),
        read_iops=has("blkio", "blkio.throttle.read_iops_device"),
        write_iops=has("blkio", "blkio.throttle.write_iops_device"),
    )


def _of_v2(layout: Layout) -> Support:
    root = layout.unified
    memory, cpu, cpuset, io, pids = (
        name in layout.controllers for name in ("memory", "cpu", "cpuset", "io", "pids")
    )
    # The weight is that of whichever scheduler or cost model is there; both are optional.
    weight = io and (
        os.path.exists(f"{root}/io.cost.model")
        or _child_has(root, "io.stat", "io.weight")
        or _child_has(root, "io.stat", "io.bfq.weight")
    )
    throttle = io and _child_has(root, "io.stat", "io.max", otherwise=True)
    return Support(
        version=2,
        memory=memory,
        swap=memory
        and _child_has(
            root, "memory.max", "memory.swap.max", otherwise=os.path.exists("/proc/swaps")
        ),
        reservation=memory,
        swappiness=False,
        oom_kill_disable=False,
        cpu_shares=cpu,
        cpu_quota=cpu,
        cpu_realtime=False,
        cpuset=cpuset,
        cpus=_text(f"{root}/cpuset.cpus.effective"),
        mems=_text(f"{root}/cpuset.mems.effective"),
        pids=pids,
        io_weight=weight,
        io_weight_device=weight,
        read_bps=throttle,
        write_bps=throttle,
        read_iops=throttle,
        write_iops=throttle,
    )


def _child_has(root: str, sign: str, file: str, *, otherwise: bool = False) -> bool:
    """Tell whether groups have `file`, by the first that has its controller, known by `sign`."""
    try:
        with os.scandir(root) as entries:
            children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return otherwise
    for child in children:
        if os.path.exists(f"{child}/{sign}"):
            return os.path.exists(f"{child}/{file}")
    return otherwise


def _text(path: str) -> str:
    try:
        return read(path).strip()
    except OSError:
        return ""
