"""Operations that make the container's root the root: mounted, entered, and the host's let go of.

They are executed in the container's new mount namespace.
"""

import errno
import os
from dataclasses import dataclass

from tiffin.linux import mount_api, mount_options, mounts
from tiffin.linux.mount_api import (
    AT_FDCWD,
    MNT_DETACH,
    MOUNT_ATTR_RDONLY,
    MS_MOVE,
    MS_PRIVATE,
    MS_REC,
    MS_SLAVE,
)
from tiffin.runtime.executable import lowered
from tiffin.runtime.mount_points import O_PLACE, shown_mount
from tiffin.runtime.operation import Failed, Place
from tiffin.spec.mount import Mount


@dataclass(frozen=True, slots=True)
class Separate:
    """Cut the propagation of mounts from the container to the host."""

    def describe(self) -> str:
        """See `Operation`."""
        return "keep mounts made in the container from showing up on the host"

    def call(self) -> str:
        """See `Operation`."""
        return 'mount("", "/", NULL, MS_REC | MS_SLAVE, NULL)'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        mount_api.mount("", "/", "", MS_SLAVE | MS_REC)


@dataclass(frozen=True, slots=True)
class PrivateParent:
    """Make the mount that holds the bundle private, when the root is to stay shared."""

    path: str

    def describe(self) -> str:
        """See `Operation`."""
        return "keep the container's root itself from propagating to the host"

    def call(self) -> str:
        """See `Operation`."""
        return f'mount("", "the mount of {self.path}", NULL, MS_PRIVATE, NULL)'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        path = os.path.realpath(self.path)
        while True:
            try:
                mount_api.mount("", path, "", MS_PRIVATE)
                return
            except OSError as error:  # EINVAL: not a mount point
                if error.errno != errno.EINVAL or path == "/":
                    raise
            path = os.path.dirname(path)


@dataclass(frozen=True, slots=True)
class MountRoot:
    """Mount the root file system at `path` (in this mount namespace only) and make it the root.

    Without `mounts` the directory itself is the root.
    """

    path: str
    mounts: tuple[Mount, ...]
    made: int = -1
    """A descriptor of it as a detached mount, where the child may not make it itself."""

    def describe(self) -> str:
        """See `Operation`."""
        kind = self.mounts[0].fstype if self.mounts else "bind"
        return f"mount the container's root ({kind}), seen by the container alone"

    def call(self) -> str:
        """See `Operation`."""
        items = self.mounts or (Mount("bind", self.path, ("rbind",)),)
        return "; ".join(shown_mount(item, self.path + item.target) for item in items)

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        items = self.mounts or (Mount("bind", self.path, ("rbind",)),)
        try:
            root = self.made if self.made >= 0 else mounts.create(items[0])
            below = os.open(self.path, O_PLACE | os.O_DIRECTORY)
            mounts.attach(root, below, self.path)
            os.close(below)
            place.set_root(root)
            for item in items[1:] if self.made < 0 else ():
                fd = mounts.create(item)
                mounts.attach_in(fd, root, item.target)
                os.close(fd)
        except OSError as error:
            raise Failed(f"error mounting the root file system at {self.path}: {error}") from None


@dataclass(frozen=True, slots=True)
class MakeRootReadonly:
    """Make the root mount read-only, and no other."""

    def describe(self) -> str:
        """See `Operation`."""
        return "make the container's root read-only"

    def call(self) -> str:
        """See `Operation`."""
        return 'mount_setattr(AT_FDCWD, "/", 0, {MOUNT_ATTR_RDONLY})'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        mount_api.mount_setattr(AT_FDCWD, "/", 0, set_=MOUNT_ATTR_RDONLY)


@dataclass(frozen=True, slots=True)
class PivotRoot:
    """Make the container's root the root, and let go of the host's."""

    def describe(self) -> str:
        """See `Operation`."""
        return "make that the root directory, and let go of the host's for good"

    def call(self) -> str:
        """See `Operation`."""
        return 'fchdir(root); pivot_root(".", "."); umount2(".", MNT_DETACH); chdir("/")'

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        os.fchdir(place.root.fd)
        mount_api.pivot_root(".", ".")
        # The old root now lies over the new one; taking it away must not reach the host's mounts.
        mount_api.mount("", ".", "", MS_SLAVE | MS_REC)
        mount_api.umount2(".", MNT_DETACH)
        os.chdir("/")
        place.close()


@dataclass(frozen=True, slots=True)
class MoveRoot:
    """Move the container's root over the host's: for a host in a ramdisk, which cannot be pivoted."""

    def describe(self) -> str:
        """See `Operation`."""
        return "move that over the root directory, which stays below it"

    def call(self) -> str:
        """See `Operation`."""
        return 'fchdir(root); mount(".", "/", NULL, MS_MOVE, NULL); chroot("."); chdir("/")'

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        os.fchdir(place.root.fd)
        _hide_kernel_mounts(os.getcwd())
        mount_api.mount(".", "/", "", MS_MOVE)
        os.chroot(".")
        os.chdir("/")
        place.close()


def _hide_kernel_mounts(root: str) -> None:
    """Take the host's proc and sysfs away, through which more could be seen than in the container's.

    Where one cannot be unmounted, an empty file system lies over it.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        lines = [line.partition(" - ") for line in file]
    places = [
        before.split()[4] for before, _, after in lines if after.split()[0] in ("proc", "sysfs")
    ]
    for path in reversed([item for item in places if not item.startswith(f"{root}/")]):
        try:
            mount_api.mount("", path, "", MS_PRIVATE)
            mount_api.umount2(path, MNT_DETACH)
        except OSError:
            mount_api.mount("tmpfs", path, "tmpfs", 0)


@dataclass(frozen=True, slots=True)
class PropagateRoot:
    """Give the new root the propagation that the configuration asks for."""

    word: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"make mounts below the root {self.word}"

    def call(self) -> str:
        """See `Operation`."""
        return f'mount("", "/", NULL, {self.word}, NULL)'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        kind, recursive = mount_options.propagation(self.word)
        mount_api.mount("", "/", "", kind | (MS_REC if recursive else 0))


@dataclass(frozen=True, slots=True)
class MakeWorkingDirectory:
    """Make the working directory if it is missing; the root is the container's by now."""

    path: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"have the working directory {self.path}"

    def call(self) -> str:
        """See `Operation`."""
        return f'mkdir("{self.path}", 0755)'

    def execute(self, _: Place) -> None:
        """See `Operation`."""
        try:
            os.makedirs(self.path, 0o755, exist_ok=True)
        except FileExistsError as error:
            raise Failed(f"mkdir {error.filename}: not a directory") from None
        except OSError as error:
            raise Failed(f"mkdir {error.filename}: {lowered(error)}") from None
