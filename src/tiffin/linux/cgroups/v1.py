"""Control groups v1: one directory per controller (Documentation/admin-guide/cgroup-v1).

Controllers that nobody asked for (hugetlb, net_cls, …) get no directory until a limit needs them.
Those that programs look for to size themselves (the JVM wants all of cpu, cpuset, cpuacct and
memory) always have one.
"""

import errno
import itertools
import os
import select
import signal
import time
from contextlib import ExitStack

from tiffin.linux.cgroups import devices, realtime, stats
from tiffin.linux.cgroups.group import (
    Figures,
    OomNotice,
    Resources,
    Setting,
    Warn,
    make_directory,
    processes,
    read,
    refuse_inhabited,
    remove_parents,
    remove_tree,
    signal_all,
    write,
    write_each,
)
from tiffin.linux.cgroups.layout import Layout
from tiffin.linux.cgroups.resources import check

ALWAYS = ("devices", "memory", "cpu", "cpuacct", "cpuset", "pids", "freezer", "blkio")
_THROTTLES = {
    "throttleReadBpsDevice": "blkio.throttle.read_bps_device",
    "throttleWriteBpsDevice": "blkio.throttle.write_bps_device",
    "throttleReadIOPSDevice": "blkio.throttle.read_iops_device",
    "throttleWriteIOPSDevice": "blkio.throttle.write_iops_device",
}
_OLD_NAMES = {
    "blkio.bfq.weight": "blkio.weight",
    "blkio.bfq.weight_device": "blkio.weight_device",
}
"""Of the scheduler that Linux 5.0 removed."""
_SECOND_TRY = {
    "memory.limit_in_bytes": "memory.memsw.limit_in_bytes",
    "cpu.cfs_period_us": "cpu.cfs_quota_us",
}
"""What may only be possible after the setting that follows it.

Lowering goes limit first, raising goes memory+swap first (memory.txt §8); a shorter period with the
old quota may be more than the parent's share.
"""
_FREEZE_TIMEOUT_S = 10.0


def plan(resources: Resources) -> tuple[Setting, ...]:
    """Return what to write for the resources that are named, in order; ValueError."""
    check(resources)
    if resources.get("unified"):
        raise ValueError("invalid configuration: cannot use unified on cgroup v1")
    return (
        *_devices(resources),
        *_memory(resources.get("memory") or {}),
        *_cpu(resources.get("cpu") or {}),
        *_pids(resources.get("pids") or {}),
        *_blkio(resources.get("blockIO") or {}),
        *_others(resources),
    )


def _devices(resources: Resources) -> list[Setting]:
    return [
        Setting("devices", "devices.allow" if rule.allow else "devices.deny", str(rule))
        for rule in devices.parse(resources.get("devices") or [])
    ]


def _memory(memory: Resources) -> list[Setting]:
    settings = []
    if memory.get("limit"):
        settings.append(Setting("memory", "memory.limit_in_bytes", str(memory["limit"])))
    if memory.get("swap"):
        value = str(memory["swap"])
        settings.append(Setting("memory", "memory.memsw.limit_in_bytes", value, optional=True))
    if memory.get("reservation"):
        value = str(memory["reservation"])
        settings.append(Setting("memory", "memory.soft_limit_in_bytes", value))
    if memory.get("kernelTCP"):
        value = str(memory["kernelTCP"])
        settings.append(Setting("memory", "memory.kmem.tcp.limit_in_bytes", value, optional=True))
    if memory.get("disableOOMKiller"):
        settings.append(Setting("memory", "memory.oom_control", "1"))
    if memory.get("swappiness") is not None:
        settings.append(Setting("memory", "memory.swappiness", str(memory["swappiness"])))
    return settings


def _cpu(cpu: Resources) -> list[Setting]:
    names = {
        "shares": "cpu.shares",
        "period": "cpu.cfs_period_us",
        "quota": "cpu.cfs_quota_us",
        "burst": "cpu.cfs_burst_us",
        "realtimePeriod": "cpu.rt_period_us",
        "realtimeRuntime": "cpu.rt_runtime_us",
        "idle": "cpu.idle",
    }
    settings = [
        Setting("cpu", file, str(cpu[name]))
        for name, file in names.items()
        if cpu.get(name) or (name == "idle" and cpu.get(name) is not None)
    ]
    settings += [
        Setting("cpuset", f"cpuset.{name}", cpu[name]) for name in ("cpus", "mems") if cpu.get(name)
    ]
    return settings


def _pids(pids: Resources) -> list[Setting]:
    limit = pids.get("limit")
    if limit is None or limit == 0:
        return []
    return [Setting("pids", "pids.max", str(limit) if limit > 0 else "max")]


def _blkio(blkio: Resources) -> list[Setting]:
    settings = []
    if blkio.get("weight"):
        value = str(blkio["weight"])
        settings.append(Setting("blkio", "blkio.bfq.weight", value, optional=True))
    for device in blkio.get("weightDevice") or []:
        value = f"{device['major']}:{device['minor']} {device['weight']}"
        settings.append(Setting("blkio", "blkio.bfq.weight_device", value, optional=True))
    for name, file in _THROTTLES.items():
        for device in blkio.get(name) or []:
            value = f"{device['major']}:{device['minor']} {device['rate']}"
            settings.append(Setting("blkio", file, value))
    return settings


def _others(resources: Resources) -> list[Setting]:
    settings = [
        Setting("hugetlb", f"hugetlb.{item['pageSize']}.limit_in_bytes", str(item["limit"]), True)
        for item in resources.get("hugepageLimits") or []
    ]
    network = resources.get("network") or {}
    if network.get("classID"):
        settings.append(Setting("net_cls", "net_cls.classid", str(network["classID"]), True))
    for item in network.get("priorities") or []:
        value = f"{item['name']} {item['priority']}"
        settings.append(Setting("net_prio", "net_prio.ifpriomap", value, True))
    return settings


class GroupV1:
    """One container's directories; fulfils `group.Group`."""

    def __init__(self, path: str, layout: Layout) -> None:
        self.path = path
        self._mounts = layout.v1

    def create(self, resources: Resources, warn: Warn) -> None:
        """See `Group.create`."""
        settings = plan(resources)
        refuse_inhabited(self._directory("freezer"))
        with ExitStack() as undo:
            undo.callback(self.remove)
            for controller in self._places(settings).values():
                self._make(controller)
            self._write_all(settings, warn)
            undo.pop_all()

    def join_files(self, resources: Resources | None = None) -> tuple[str, ...]:
        """See `Group.join_files`."""
        if resources is None:
            return tuple(f"{place}/tasks" for place in self._directories())
        return tuple(f"{place}{self.path}/tasks" for place in self._places(plan(resources)))

    def directory(self) -> str:
        """See `Group.directory`."""
        return ""

    def update(self, resources: Resources, warn: Warn) -> None:
        """See `Group.update`."""
        settings = plan(resources)
        for controller in dict.fromkeys(setting.controller for setting in settings):
            if controller in self._mounts and not os.path.isdir(self._directory(controller)):
                self._make(controller)
                self._move_into(self._directory(controller))
        self._write_all(settings, warn)

    def pids(self) -> list[int]:
        """See `Group.pids`."""
        return processes(self._directory("freezer"))

    def signal(self, number: int) -> None:
        """See `Group.signal`."""
        signal_all(self.pids(), number)

    def kill(self) -> None:
        """See `Group.kill`."""
        if not self.pids():
            return
        # Frozen first, or a fork bomb could outrun the loop.
        try:
            self.freeze()
        except OSError:
            pass  # what cannot be frozen is killed all the same
        try:
            self.signal(signal.SIGKILL)
        finally:
            self.thaw()

    def is_frozen(self) -> bool:
        """See `Group.is_frozen`."""
        state = stats.text(f"{self._directory('freezer')}/freezer.state")
        return state in ("FROZEN", "FREEZING")

    def freeze(self) -> None:
        """See `Group.freeze`."""
        state = f"{self._directory('freezer')}/freezer.state"
        deadline = time.monotonic() + _FREEZE_TIMEOUT_S
        while True:
            # Written again each time: tasks forked meanwhile may keep it at FREEZING.
            write(state, "FROZEN")
            if read(state).strip() == "FROZEN":
                return
            if time.monotonic() > deadline:
                write(state, "THAWED")
                raise OSError(errno.EBUSY, "cannot freeze", state)
            time.sleep(0.001)

    def thaw(self) -> None:
        """See `Group.thaw`."""
        try:
            write(f"{self._directory('freezer')}/freezer.state", "THAWED")
        except FileNotFoundError:
            return

    def oom_kills(self) -> int:
        """See `Group.oom_kills`."""
        return stats.table(f"{self._directory('memory')}/memory.oom_control").get("oom_kill", 0)

    def open_oom_notice(self) -> OomNotice:
        """See `Group.open_oom_notice`."""
        memory = self._directory("memory")
        file = f"{memory}/memory.oom_control"
        control = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            notice = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            try:
                write(f"{memory}/cgroup.event_control", f"{notice} {control}")
            except OSError:
                os.close(notice)
                raise
        finally:
            os.close(control)
        return OomNotice(notice, select.EPOLLIN, file)

    def stats(self) -> Figures:
        """See `Group.stats`."""
        memory, cpuacct = self._directory("memory"), self._directory("cpuacct")
        throttling = stats.table(f"{self._directory('cpu')}/cpu.stat")
        pids, blkio = self._directory("pids"), f"{self._directory('blkio')}/blkio.throttle"
        return {
            "version": 1,
            "read_ns": time.time_ns(),
            "memory": {
                "usage": stats.integer(f"{memory}/memory.usage_in_bytes"),
                "max_usage": stats.integer(f"{memory}/memory.max_usage_in_bytes"),
                "limit": stats.integer(f"{memory}/memory.limit_in_bytes"),
                "swap_usage": max(
                    0,
                    stats.integer(f"{memory}/memory.memsw.usage_in_bytes")
                    - stats.integer(f"{memory}/memory.usage_in_bytes"),
                ),
                "failcnt": stats.integer(f"{memory}/memory.failcnt"),
                "oom_kills": self.oom_kills(),
                "stats": stats.table(f"{memory}/memory.stat"),
            },
            "cpu": {
                "total_ns": stats.integer(f"{cpuacct}/cpuacct.usage"),
                "user_ns": stats.integer(f"{cpuacct}/cpuacct.usage_user"),
                "kernel_ns": stats.integer(f"{cpuacct}/cpuacct.usage_sys"),
                "periods": throttling.get("nr_periods", 0),
                "throttled_periods": throttling.get("nr_throttled", 0),
                "throttled_ns": throttling.get("throttled_time", 0),
                "percpu_ns": [
                    int(n) for n in stats.text(f"{cpuacct}/cpuacct.usage_percpu").split()
                ],
            },
            "pids": {
                "current": stats.integer(f"{pids}/pids.current"),
                "limit": stats.integer(f"{pids}/pids.max"),
            },
            "blkio": {
                f"{name}_recursive": stats.io_entries(stats.text(f"{blkio}.{name}_recursive"))
                for name in ("io_service_bytes", "io_serviced")
            },
        }

    def remove(self) -> None:
        """See `Group.remove`."""
        self.kill()
        for place in set(self._mounts.values()):
            remove_tree(f"{place}{self.path}")
            remove_parents(place, self.path)

    def _places(self, settings: tuple[Setting, ...]) -> dict[str, str]:
        """Return the hierarchies that the group lives in: mount point, one of its controllers."""
        wanted = (*ALWAYS, *(setting.controller for setting in settings))
        return {self._mounts[name]: name for name in reversed(wanted) if name in self._mounts}

    def _directory(self, controller: str) -> str:
        return f"{self._mounts.get(controller, '/nonexistent')}{self.path}"

    def _directories(self) -> list[str]:
        places = dict.fromkeys(
            place for name, place in self._mounts.items() if not name.startswith("name=")
        )
        return [f"{place}{self.path}" for place in places if os.path.isdir(f"{place}{self.path}")]

    def _make(self, controller: str) -> None:
        place = self._mounts[controller]
        made = make_directory(place, self.path)
        if controller == "cpuset" and not read(f"{made}/cpuset.cpus").strip():
            self._fill_cpusets(place)

    def _fill_cpusets(self, place: str) -> None:
        # A new cpuset is empty, and nobody can join an empty one; children of a filled and marked
        # one are born filled.
        path = place
        for part in self.path.strip("/").split("/"):
            parent, path = path, f"{path}/{part}"
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not read(f"{path}/{name}").strip():
                    write(f"{path}/{name}", read(f"{parent}/{name}"))
            write(f"{path}/cgroup.clone_children", "1")

    def _move_into(self, directory: str) -> None:
        for pid in self.pids():
            try:
                write(f"{directory}/cgroup.procs", str(pid))
            except ProcessLookupError:
                continue

    def _write_all(self, settings: tuple[Setting, ...], warn: Warn) -> None:
        rules = itertools.takewhile(lambda setting: setting.controller == "devices", settings)
        done = 0
        for file, run in itertools.groupby(rules, key=lambda setting: setting.file):
            values = [setting.value for setting in run]
            write_each(f"{self._directory('devices')}/{file}", values)
            done += len(values)
        pending: Setting | None = None
        for setting in settings[done:]:
            if pending is not None:
                self._write(setting, warn)
                self._write(pending, warn)
                pending = None
                continue
            try:
                self._write(setting, warn)
            except OSError as error:
                other = _SECOND_TRY.get(setting.file, "")
                if error.errno == errno.EINVAL and any(item.file == other for item in settings):
                    pending = setting
                    continue
                raise

    def _write(self, setting: Setting, warn: Warn) -> None:
        directory = self._directory(setting.controller)
        if setting.file in realtime.FILES:
            realtime.grant(self._mounts["cpu"], self.path, setting.file, int(setting.value))
        for file in filter(None, (setting.file, _OLD_NAMES.get(setting.file))):
            try:
                write(f"{directory}/{file}", setting.value)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._explained(error, setting) from None
            return
        if not setting.optional:
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), f"{directory}/{setting.file}"
            )
        warn(f"the kernel does not support {setting.file}; it was not set")

    def _explained(self, error: OSError, setting: Setting) -> OSError:
        if error.errno != errno.EBUSY or setting.file != "memory.limit_in_bytes":
            return error
        memory = self._directory("memory")
        usage, peak = (
            stats.integer(f"{memory}/memory.{name}")
            for name in ("usage_in_bytes", "max_usage_in_bytes")
        )
        return OSError(
            errno.EBUSY,
            f"unable to set memory limit to {setting.value} (current usage: {usage}, peak usage:"
            f" {peak})",
            f"{memory}/{setting.file}",
        )
