"""Hands controllers down to a group of v2 (cgroup-v2.rst, "Controlling Controllers").

A group has the controllers that its parent's `cgroup.subtree_control` names, so each group from the
root on must name them. One with processes of its own may not ("no internal process constraint"),
save the root of all. Inside a container, what looks like the root is none: there, its processes are
moved to a group `init` beside the others, as is usual for an engine in a container.
"""

import errno
import os

from tiffin.linux.cgroups.group import read, write

_EVACUATED = "init"


def delegate(root: str, path: str, controllers: tuple[str, ...]) -> OSError | None:
    """Give the group `path` as many of the controllers as can be; return why not all, or None."""
    wanted = set(controllers)
    if wanted <= _offered(root + path):
        return None
    refusal: OSError | None = None
    here = root
    for part in path.strip("/").split("/"):
        refusal = refusal or _enable(here, wanted & _offered(here), is_top=here == root)
        here = f"{here}/{part}"
    return refusal


def _offered(directory: str) -> set[str]:
    return set(read(f"{directory}/cgroup.controllers").split())


def _enable(directory: str, wanted: set[str], *, is_top: bool) -> OSError | None:
    control = f"{directory}/cgroup.subtree_control"
    missing = sorted(wanted - set(read(control).split()))
    if not missing:
        return None
    try:
        write(control, " ".join(f"+{name}" for name in missing))
        return None
    except OSError as error:
        # Only groups that are not the root of all have a type.
        if error.errno == errno.EBUSY and is_top and os.path.exists(f"{directory}/cgroup.type"):
            _evacuate(directory)
    # One that cannot be enabled must not keep the others from it.
    refusal = None
    for name in missing:
        try:
            write(control, f"+{name}")
        except OSError as error:
            refusal = refusal or _explained(error, directory, name)
    return refusal


def _explained(error: OSError, directory: str, controller: str) -> OSError:
    if error.errno not in (errno.EBUSY, errno.EOPNOTSUPP):
        return error
    reason = (
        f"the group has processes of its own, or is threaded, so it cannot hand the controller"
        f" {controller} down"
    )
    return OSError(error.errno, reason, directory)


def _evacuate(directory: str) -> None:
    """Move the processes of a group into one below it."""
    below = f"{directory}/{_EVACUATED}"
    os.makedirs(below, exist_ok=True)
    for pid in read(f"{directory}/cgroup.procs").split():
        try:
            write(f"{below}/cgroup.procs", pid)
        except OSError:  # it has ended, or is a kernel thread
            continue
