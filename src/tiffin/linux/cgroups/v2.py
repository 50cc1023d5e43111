"""Control groups v2: one directory, one file per limit (Documentation/admin-guide/cgroup-v2.rst)."""

import errno
import os
import select
import signal
import time
from contextlib import ExitStack

from tiffin.linux.cgroups import device_filter, devices, stats
from tiffin.linux.cgroups.delegation import delegate
from tiffin.linux.cgroups.group import (
    Figures,
    OomNotice,
    Resources,
    Setting,
    Warn,
    make_directory,
    processes,
    refuse_inhabited,
    remove_parents,
    remove_tree,
    signal_all,
    write,
)
from tiffin.linux.cgroups.layout import Layout
from tiffin.linux.cgroups.resources import check

_FREEZE_TIMEOUT_S = 10.0
_IO_LIMITS = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}


def plan(resources: Resources, *, bfq: bool = False) -> tuple[Setting, ...]:
    """Return what to write for the resources that are named, in order; ValueError.

    `bfq`: block I/O weights are those of the BFQ scheduler, which has v1's range.
    """
    check(resources)
    return (
        *_memory(resources.get("memory") or {}),
        *_cpu(resources.get("cpu") or {}),
        *_pids(resources.get("pids") or {}),
        *_io(resources.get("blockIO") or {}, bfq=bfq),
        *_others(resources),
    )


def weight_of_shares(shares: int) -> int:
    """Convert v1 shares (2 to 262144) to a v2 weight (1 to 10000), linearly as others do."""
    shares = min(max(shares, 2), 262144)
    return 1 + (shares - 2) * 9999 // 262142


def weight_of_blkio(weight: int) -> int:
    """Convert a v1 weight (10 to 1000) to `io.weight` (1 to 10000)."""
    return 1 + (min(max(weight, 10), 1000) - 10) * 9999 // 990


def _number(value: int) -> str:
    return "max" if value < 0 else str(value)


def _memory(memory: Resources) -> list[Setting]:
    settings = []
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if limit:
        settings.append(Setting("memory", "memory.max", _number(limit)))
    if swap:
        # The specification counts memory and swap together, v2 swap alone.
        only = swap if swap < 0 or limit < 0 else swap - limit
        if swap > 0 and (limit == 0 or swap < limit):
            raise ValueError(f"memory+swap limit {swap} should be above memory limit {limit}")
        settings.append(Setting("memory", "memory.swap.max", _number(only), optional=True))
    if memory.get("reservation"):
        settings.append(Setting("memory", "memory.low", _number(memory["reservation"])))
    return settings


def _cpu(cpu: Resources) -> list[Setting]:
    settings = []
    if cpu.get("shares"):
        settings.append(Setting("cpu", "cpu.weight", str(weight_of_shares(cpu["shares"]))))
    if cpu.get("quota") or cpu.get("period"):
        quota = cpu.get("quota") or -1
        value = _number(quota) if not cpu.get("period") else f"{_number(quota)} {cpu['period']}"
        settings.append(Setting("cpu", "cpu.max", value))
    if cpu.get("burst"):
        settings.append(Setting("cpu", "cpu.max.burst", str(cpu["burst"]), optional=True))
    if cpu.get("idle") is not None:
        settings.append(Setting("cpu", "cpu.idle", str(cpu["idle"]), optional=True))
    settings += [
        Setting("cpuset", f"cpuset.{name}", cpu[name]) for name in ("cpus", "mems") if cpu.get(name)
    ]
    return settings


def _pids(pids: Resources) -> list[Setting]:
    limit = pids.get("limit")
    return [Setting("pids", "pids.max", _number(limit))] if limit else []


def _io(blkio: Resources, *, bfq: bool) -> list[Setting]:
    settings = []
    file, converted = ("io.bfq.weight", int) if bfq else ("io.weight", weight_of_blkio)
    if blkio.get("weight"):
        settings.append(Setting("io", file, str(converted(blkio["weight"])), optional=True))
    for device in blkio.get("weightDevice") or []:
        value = f"{device['major']}:{device['minor']} {converted(device['weight'])}"
        settings.append(Setting("io", file, value, optional=True))
    for name, key in _IO_LIMITS.items():
        for device in blkio.get(name) or []:
            rate = str(device["rate"]) if device["rate"] else "max"
            value = f"{device['major']}:{device['minor']} {key}={rate}"
            settings.append(Setting("io", "io.max", value))
    return settings


def _others(resources: Resources) -> list[Setting]:
    settings = [
        Setting("hugetlb", f"hugetlb.{item['pageSize']}.max", str(item["limit"]), optional=True)
        for item in resources.get("hugepageLimits") or []
    ]
    for file, value in (resources.get("unified") or {}).items():
        if "/" in file:
            raise ValueError(f"unified resource {file!r} must be a file name")
        settings.append(Setting(file.partition(".")[0], file, str(value)))
    return settings


class GroupV2:
    """One container's directory; fulfils `group.Group`."""

    def __init__(self, path: str, layout: Layout) -> None:
        self.path = path
        self._root = layout.unified
        self._controllers = layout.controllers
        self._place = layout.unified + path
        self._refusal: OSError | None = None

    def create(self, resources: Resources, warn: Warn) -> None:
        """See `Group.create`."""
        refuse_inhabited(self._place)
        with ExitStack() as undo:
            undo.callback(self.remove)
            make_directory(self._root, self.path)
            self._refusal = delegate(self._root, self.path, self._controllers)
            self.update(resources, warn)
            undo.pop_all()

    def join_files(self, resources: Resources | None = None) -> tuple[str, ...]:
        """See `Group.join_files`."""
        del resources
        return ()

    def directory(self) -> str:
        """See `Group.directory`."""
        return self._place

    def update(self, resources: Resources, warn: Warn) -> None:
        """See `Group.update`."""
        settings = plan(resources, bfq=os.path.exists(f"{self._place}/io.bfq.weight"))
        if resources.get("devices"):
            rules = devices.parse(resources["devices"])
            device_filter.replace(self._place, device_filter.assemble(rules))
        for setting in settings:
            try:
                write(f"{self._place}/{setting.file}", setting.value)
            except FileNotFoundError:
                if not setting.optional:
                    raise (self._refusal or self._absent(setting)) from None
                warn(f"the kernel does not support {setting.file}; it was not set")

    def _absent(self, setting: Setting) -> OSError:
        """Return what it means that a file is not there: its controller is missing, or old."""
        refusal = delegate(self._root, self.path, self._controllers)
        if refusal is not None:
            return refusal
        path = f"{self._place}/{setting.file}"
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def pids(self) -> list[int]:
        """See `Group.pids`."""
        return processes(self._place)

    def signal(self, number: int) -> None:
        """See `Group.signal`."""
        signal_all(self.pids(), number)

    def kill(self) -> None:
        """See `Group.kill`."""
        try:
            write(f"{self._place}/cgroup.kill", "1")
        except FileNotFoundError:  # before Linux 5.14, or the group is gone
            if os.path.isdir(self._place):
                self._kill_frozen()

    def _kill_frozen(self) -> None:
        write(f"{self._place}/cgroup.freeze", "1")
        try:
            self.signal(signal.SIGKILL)
        finally:
            self.thaw()

    def is_frozen(self) -> bool:
        """See `Group.is_frozen`."""
        return stats.text(f"{self._place}/cgroup.freeze") == "1"

    def freeze(self) -> None:
        """See `Group.freeze`."""
        write(f"{self._place}/cgroup.freeze", "1")
        deadline = time.monotonic() + _FREEZE_TIMEOUT_S
        while stats.table(f"{self._place}/cgroup.events").get("frozen") != 1:
            if time.monotonic() > deadline:
                self.thaw()
                raise OSError(errno.EBUSY, "cannot freeze", self._place)
            time.sleep(0.001)

    def thaw(self) -> None:
        """See `Group.thaw`."""
        try:
            write(f"{self._place}/cgroup.freeze", "0")
        except FileNotFoundError:
            return

    def oom_kills(self) -> int:
        """See `Group.oom_kills`."""
        return stats.table(f"{self._place}/memory.events").get("oom_kill", 0)

    def open_oom_notice(self) -> OomNotice:
        """See `Group.open_oom_notice`."""
        file = f"{self._place}/memory.events"
        return OomNotice(os.open(file, os.O_RDONLY | os.O_CLOEXEC), select.EPOLLPRI, file)

    def stats(self) -> Figures:
        """See `Group.stats`."""
        place = self._place
        cpu = stats.table(f"{place}/cpu.stat")
        events = stats.table(f"{place}/memory.events")
        io = stats.text(f"{place}/io.stat")
        return {
            "version": 2,
            "read_ns": time.time_ns(),
            "memory": {
                "usage": stats.integer(f"{place}/memory.current"),
                "max_usage": stats.integer(f"{place}/memory.peak"),
                "limit": stats.integer(f"{place}/memory.max"),
                "swap_usage": stats.integer(f"{place}/memory.swap.current"),
                "failcnt": events.get("oom", 0),
                "oom_kills": events.get("oom_kill", 0),
                "stats": stats.table(f"{place}/memory.stat"),
            },
            "cpu": {
                "total_ns": cpu.get("usage_usec", 0) * 1000,
                "user_ns": cpu.get("user_usec", 0) * 1000,
                "kernel_ns": cpu.get("system_usec", 0) * 1000,
                "periods": cpu.get("nr_periods", 0),
                "throttled_periods": cpu.get("nr_throttled", 0),
                "throttled_ns": cpu.get("throttled_usec", 0) * 1000,
                "percpu_ns": [],
            },
            "pids": {
                "current": stats.integer(f"{place}/pids.current"),
                "limit": stats.integer(f"{place}/pids.max"),
            },
            "blkio": {
                "io_service_bytes_recursive": stats.io_stat(
                    io, {"rbytes": "read", "wbytes": "write"}
                ),
                "io_serviced_recursive": stats.io_stat(io, {"rios": "read", "wios": "write"}),
            },
        }

    def remove(self) -> None:
        """See `Group.remove`."""
        self.kill()
        remove_tree(self._place)
        remove_parents(self._root, self.path)
