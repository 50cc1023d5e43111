"""Operations that make the container's file system, executed in its new mount namespace.

Every path in the container is resolved by the kernel with the container's root as root (openat2),
so that no symlink of an image leads to the host. Mounts are attached by descriptor.
"""

import errno
import os
import stat
from dataclasses import dataclass

from tiffin.fs.rooted import Root
from tiffin.linux import mount_api, mount_options, mounts, pty
from tiffin.linux.mount_api import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    MS_PRIVATE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)
from tiffin.runtime.executable import lowered
from tiffin.runtime.mount_points import (
    CONSOLE,
    O_PLACE,
    check_outside_proc,
    mount_point,
    shown_mount,
)
from tiffin.runtime.operation import Failed, Place
from tiffin.spec.mount import Mount


@dataclass(frozen=True, slots=True)
class MountInside:
    """One of the configuration's mounts; a missing mount point is made."""

    item: Mount
    made: int = -1
    """A descriptor of it as a detached mount, where the child may not make it itself."""

    def describe(self) -> str:
        """See `Operation`."""
        if self.item.fstype == "bind":
            return f"show {self.item.source} of the host at {self.item.target}"
        return f"mount {self.item.fstype} at {self.item.target}"

    def call(self) -> str:
        """See `Operation`."""
        return shown_mount(self.item, self.item.target)

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        item = self.item
        try:
            if item.fstype == "bind" or self.made >= 0:
                fd = self.made if self.made >= 0 else mounts.create(item)
                is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
                at, _ = mount_point(place, item, is_directory=is_directory)
                check_outside_proc(place, at, item)
            else:
                at, existed = mount_point(place, item, is_directory=True)
                if item.fstype == "tmpfs" and existed:
                    item = _with_mode_of(item, at)
                    check_outside_proc(place, at, item)
                fd = place.mount(item)
                if "tmpcopyup" in item.options and existed:
                    _copy_up(at, fd)
            mounts.attach(fd, at, item.target)
            os.close(fd)
            os.close(at)
            place.root.flush()
        except OSError as error:
            if error.errno == errno.ELOOP and item.fstype in ("proc", "sysfs"):
                raise Failed(f"{item.target} must be mounted on ordinary directory") from None
            shown = item.source or item.fstype
            raise Failed(
                f'error mounting "{shown}" to rootfs at "{item.target}": {lowered(error)}'
                + (f" ({error.filename})" if error.filename not in (None, item.target) else "")
            ) from None


def _copy_up(source: int, target: int) -> None:
    """Copy what a directory has into the file system that is about to hide it."""
    from tiffin.fs.copy import TreeCopy  # loaded when it was planned

    with Root(os.dup(source)) as origin, Root(os.dup(target)) as copy:
        TreeCopy(origin, copy).copy_children("", "")


@dataclass(frozen=True, slots=True)
class MountCgroups:
    """v1: the container's own groups, each hierarchy below a tmpfs."""

    item: Mount
    groups: tuple[tuple[str, str], ...]
    """(name of the directory, the group's directory on the host)"""

    def describe(self) -> str:
        """See `Operation`."""
        return f"show the container its own control groups at {self.item.target}"

    def call(self) -> str:
        """See `Operation`."""
        return "; ".join(
            shown_mount(Mount("bind", source, ("bind", "ro")), f"{self.item.target}/{name}")
            for name, source in self.groups
        )

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        options = mount_options.parse(self.item.options)
        base = Mount("tmpfs", "tmpfs", ("mode=755",), self.item.target)
        at, _ = mount_point(place, base, is_directory=True)
        top = place.mount(base)
        mounts.attach(top, at, base.target)
        for name, source in self.groups:
            _show_group(top, name, source)
        # One call for all of them.
        mount_api.mount_setattr(
            top, "", AT_EMPTY_PATH | AT_RECURSIVE, set_=options.set_, propagation=MS_PRIVATE
        )
        os.close(top)
        os.close(at)
        place.root.flush()


def _show_group(top: int, name: str, source: str) -> None:
    os.mkdir(name, dir_fd=top)
    below = os.open(name, O_PLACE | os.O_NOFOLLOW, dir_fd=top)
    fd = mount_api.open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    mounts.attach(fd, below, name)
    os.close(fd)
    os.close(below)
    for alias in name.split(",") if "," in name else ():
        os.symlink(name, alias, dir_fd=top)


@dataclass(frozen=True, slots=True)
class BindConsole:
    """Show the process's terminal at /dev/console; the terminal is this process's stdin."""

    def describe(self) -> str:
        """See `Operation`."""
        return "show the terminal at /dev/console"

    def call(self) -> str:
        """See `Operation`."""
        return 'mount("/dev/pts/0", "/dev/console", MS_BIND)'

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        at, _ = mount_point(place, Mount("bind", "console", (), CONSOLE), is_directory=False)
        fd = mount_api.open_tree(0, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
        mounts.attach(fd, at, CONSOLE)
        os.close(fd)
        os.close(at)


def open_terminal(place: Place, rows: int, columns: int) -> tuple[int, int]:
    """Make a terminal in the container's devpts: (master, slave)."""
    master, slave = pty.open_pair(place.root.fd)
    if rows and columns:
        pty.set_size(master, rows, columns)
    return master, slave


def _with_mode_of(item: Mount, at: int) -> Mount:
    if any(word.startswith("mode=") for word in item.options):
        return item
    mode = stat.S_IMODE(os.fstat(at).st_mode)
    return Mount(item.fstype, item.source, (*item.options, f"mode={mode:o}"), item.target)
