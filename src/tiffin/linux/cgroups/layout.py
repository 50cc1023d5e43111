"""Finds the cgroup hierarchies as they are mounted: v1, hybrid (v1 with an empty v2) or v2."""

import re
from dataclasses import dataclass, field

from tiffin.linux.cgroups.group import read

CONTROLLERS = (
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb",
    "net_cls", "net_prio", "perf_event", "rdma", "misc",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """Mount points. `v1` maps a controller (or `name=systemd`) to its hierarchy's mount point.

    `unified` is the v2 mount point, "" without; `controllers` are those that v2 offers.
    """

    v1: dict[str, str] = field(default_factory=dict)
    unified: str = ""
    controllers: tuple[str, ...] = ()

    @property
    def version(self) -> int:
        """2 when the resource controllers are those of v2, else 1."""
        return 1 if any(name in CONTROLLERS for name in self.v1) or not self.unified else 2


def parse_mountinfo(text: str) -> Layout:
    """Read `/proc/self/mountinfo` (man 5 proc).

    Whole hierarchies (root `/`) go before parts of one, which is what a container is given.
    """
    v1: dict[str, str] = {}
    unified = ""
    for line in sorted(text.splitlines(), key=_is_part):
        before, _, after = line.partition(" - ")
        fields, (fstype, *rest) = before.split(), after.split()
        place = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        if fstype == "cgroup2":
            unified = unified or place
        elif fstype == "cgroup":
            for word in rest[-1].split(","):
                if word in CONTROLLERS or word.startswith("name="):
                    v1.setdefault(word, place)
    return Layout(v1, unified)


def _is_part(line: str) -> bool:
    return line.split()[3] != "/"


def detect() -> Layout:
    """Return the running system's layout; OSError."""
    layout = parse_mountinfo(read("/proc/self/mountinfo"))
    if layout.unified:
        controllers = tuple(read(f"{layout.unified}/cgroup.controllers").split())
        return Layout(layout.v1, layout.unified, controllers)
    return layout
