"""Real-time processor time in v1: a group can only have what its parents have (sched-rt-group.txt).

New groups have none. So before a container gets its share, the parents that were made for it are
given as much as all their children have together.
"""

import os

from tiffin.linux.cgroups import stats
from tiffin.linux.cgroups.group import is_ours, write

_RUNTIME, _PERIOD = "cpu.rt_runtime_us", "cpu.rt_period_us"
FILES = (_RUNTIME, _PERIOD)


def grant(root: str, path: str, file: str, value: int) -> None:
    """Make room in the parents of the group `path` for what is to be written to its `file` next.

    Only parents that we made are changed; OSError if theirs have too little.
    """
    *parents, last = path.strip("/").split("/")
    directory = f"{root}{path}"
    if file == _RUNTIME:
        wanted = _share(directory, value)
    else:
        wanted = stats.integer(f"{directory}/{_RUNTIME}") / value
    raises: list[tuple[str, int]] = []
    here, child = f"{root}/{'/'.join(parents)}", last
    while here != root and is_ours(here):
        period = stats.integer(f"{here}/{_PERIOD}") or 1_000_000
        total = wanted + _others(here, child)
        needed = min(int(total * period + 0.999), period)
        if needed > stats.integer(f"{here}/{_RUNTIME}"):
            raises.append((here, needed))
        wanted = needed / period
        here, _, child = here.rpartition("/")
    for directory, needed in reversed(raises):
        write(f"{directory}/{_RUNTIME}", str(needed))


def _share(directory: str, runtime_us: int) -> float:
    return runtime_us / (stats.integer(f"{directory}/{_PERIOD}") or 1_000_000)


def _others(parent: str, child: str) -> float:
    """Return the share of the processor that the other children of `parent` have."""
    with os.scandir(parent) as entries:
        return sum(
            _share(entry.path, stats.integer(f"{entry.path}/{_RUNTIME}"))
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and entry.name != child
        )
