"""Operations that hide paths of the container or make them read-only."""

import os
import stat
from dataclasses import dataclass

from tiffin.linux import mount_api, mounts, syscalls
from tiffin.linux.mount_api import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)
from tiffin.linux.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS
from tiffin.runtime.mount_points import O_PLACE
from tiffin.runtime.operation import Place
from tiffin.spec.mount import Mount

_NULL_DEVICE = os.makedev(1, 3)


@dataclass(frozen=True, slots=True)
class MaskPath:
    """Hide a path: an empty read-only tmpfs over a directory, /dev/null over a file."""

    path: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"hide {self.path}"

    def call(self) -> str:
        """See `Operation`."""
        return f'mount("/dev/null" or tmpfs, "{self.path}", MS_BIND or MS_RDONLY)'

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        try:
            at = place.root.open(self.path, O_PLACE)
        except (FileNotFoundError, NotADirectoryError):
            return
        if stat.S_ISDIR(os.fstat(at).st_mode):
            over = place.mount(Mount("tmpfs", "tmpfs", ("ro", "nr_blocks=1", "nr_inodes=1")))
        else:
            null = _null_device(place)
            over = mount_api.open_tree(
                null, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
            )
            os.close(null)
        mounts.attach(over, at, self.path)
        os.close(over)
        os.close(at)


@dataclass(frozen=True, slots=True)
class MakeMountReadonly:
    """Make a mount read-only that things had to be put into first."""

    path: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"make {self.path} read-only, now that it is complete"

    def call(self) -> str:
        """See `Operation`."""
        return f'mount_setattr("{self.path}", {{MOUNT_ATTR_RDONLY}})'

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        at = place.root.open(self.path, O_PLACE)
        mount_api.mount_setattr(at, "", AT_EMPTY_PATH, set_=MOUNT_ATTR_RDONLY)
        os.close(at)


@dataclass(frozen=True, slots=True)
class MakeReadonly:
    """Make a path read-only by a bind of itself."""

    path: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"make {self.path} read-only"

    def call(self) -> str:
        """See `Operation`."""
        return f'mount("{self.path}", "{self.path}", MS_BIND | MS_REC | MS_RDONLY)'

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        try:
            at = place.root.open(self.path, O_PLACE)
        except (FileNotFoundError, NotADirectoryError):
            return
        flags = AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
        copy = mount_api.open_tree(at, "", flags)
        mount_api.mount_setattr(copy, "", AT_EMPTY_PATH, set_=MOUNT_ATTR_RDONLY)
        mounts.attach(copy, at, self.path)
        os.close(copy)
        os.close(at)


def _null_device(place: Place) -> int:
    # The image may have put anything at /dev/null; the host's own does as well.
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
    try:
        fd = syscalls.openat2(place.root.fd, "dev/null", O_PLACE | os.O_NOFOLLOW, resolve=resolve)
    except OSError:
        return os.open("/dev/null", O_PLACE)
    status = os.fstat(fd)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL_DEVICE:
        return fd
    os.close(fd)
    return os.open("/dev/null", O_PLACE)
