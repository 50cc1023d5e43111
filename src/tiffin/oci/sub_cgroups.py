"""Control groups below a container's own, for `exec --cgroup`."""

import os
from collections.abc import Sequence

from tiffin.errors import InvalidArgument, NotFound
from tiffin.linux.cgroups.layout import detect


def join_files(group: str, wishes: Sequence[str]) -> tuple[str, ...] | None:
    """Return the files by which to join what `[controller,…:]path` wishes say; None for no wish.

    `group` is the container's path below each hierarchy. InvalidArgument, NotFound.
    """
    if not wishes:
        return None
    layout = detect()
    if layout.version == 2:
        return (_file(layout.unified, group, _one(wishes), "cgroup.procs"),)
    paths: dict[str, str] = {}
    for wish in wishes:
        controllers, separator, path = wish.rpartition(":")
        if not separator and len(wishes) > 1:
            raise InvalidArgument("--cgroup without controllers can only be given once")
        for name in controllers.split(",") if separator else layout.v1:
            if name not in layout.v1:
                raise InvalidArgument(f"unknown controller {name} in --cgroup")
            paths[layout.v1[name]] = path
    places = dict.fromkeys(
        place for place in layout.v1.values() if os.path.isdir(f"{place}{group}")
    )
    return tuple(_file(place, group, paths.get(place, ""), "tasks") for place in places)


def _one(wishes: Sequence[str]) -> str:
    if len(wishes) > 1 or ":" in wishes[0]:
        raise InvalidArgument("--cgroup takes one path without controllers")
    return wishes[0]


def _file(place: str, group: str, path: str, name: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArgument(f"bad sub cgroup path: {path}")
    file = "/".join([f"{place}{group}", *parts, name])
    if not os.path.exists(file):
        raise NotFound(f"adding pid to cgroups: open {file}: no such file or directory")
    return file
