"""Operations that make device nodes and the usual links below /dev."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from tiffin.runtime.config import Device
from tiffin.runtime.mount_operations import MountInside
from tiffin.runtime.operation import Failed, Place
from tiffin.spec.mount import Mount


@dataclass(frozen=True, slots=True)
class MakeDevice:
    """A device node, or the host's bound in where none may be made."""

    device: Device

    def describe(self) -> str:
        """See `Operation`."""
        return f"give the container the device {self.device.path}"

    def call(self) -> str:
        """See `Operation`."""
        device = self.device
        return (
            f'mknod("{device.path}", {device.kind}, {device.mode:o}, '
            f"makedev({device.major}, {device.minor}))"
        )

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        device, root = self.device, place.root
        root.mkdirs(os.path.dirname(device.path))
        kind = {"b": stat.S_IFBLK, "p": stat.S_IFIFO}.get(device.kind, stat.S_IFCHR)
        try:
            root.mknod(device.path, kind | device.mode, os.makedev(device.major, device.minor))
        except FileExistsError:
            return  # an image may bring its own; the device rules hold for it, too
        except PermissionError:  # in a user namespace
            words = ("bind",)
            MountInside(Mount("bind", _node_of(device, kind), words, device.path)).execute(place)
            return
        if device.uid == device.gid == 0:
            return  # the child's umask is 0
        parent, name = root.locate(device.path)
        os.chown(name, device.uid, device.gid, dir_fd=parent, follow_symlinks=False)
        os.chmod(name, device.mode, dir_fd=parent)


def _node_of(device: Device, kind: int) -> str:
    """Return the path of the host's own node of a device."""
    wanted = kind, os.makedev(device.major, device.minor)
    for path in _nodes(device.path):
        try:
            status = os.stat(path)
        except OSError:
            continue
        if (stat.S_IFMT(status.st_mode), status.st_rdev) == wanted:
            return path
    raise Failed(
        f"the host has no node of device {device.kind} {device.major}:{device.minor}, and none can"
        f" be made at {device.path} in a user namespace"
    )


def _nodes(likely: str) -> Iterator[str]:
    yield likely
    for directory, _, names in os.walk("/dev"):
        yield from (f"{directory}/{name}" for name in names)


@dataclass(frozen=True, slots=True)
class MakeSymlink:
    """One of the usual links below /dev."""

    target: str
    path: str

    def describe(self) -> str:
        """See `Operation`."""
        return f"link {self.path} to {self.target}"

    def call(self) -> str:
        """See `Operation`."""
        return f'symlink("{self.target}", "{self.path}")'

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        try:
            place.root.symlink(self.target, self.path)
        except FileExistsError:
            return
