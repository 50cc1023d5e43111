"""Operations that make the container's file system, executed in its new mount namespace.

Every path in the container is resolved by the kernel with the container's root as root (openat2),
so that no symlink of an image leads to the host. Mounts are attached by descriptor.
"""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from tiffin.fs.rooted import Root
from tiffin.linux import mount_api, mount_options, mounts, pty, syscalls
from tiffin.linux.mount_api import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    MNT_DETACH,
    MOUNT_ATTR_RDONLY,
    MS_MOVE,
    MS_PRIVATE,
    MS_REC,
    MS_SLAVE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)
from tiffin.linux.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS
from tiffin.runtime.config import Device
from tiffin.runtime.executable import lowered
from tiffin.runtime.operation import Failed, Place
from tiffin.spec.mount import Mount

_O_PLACE = os.O_PATH | os.O_CLOEXEC
_MOST_LINKS = 40
_NULL_DEVICE = os.makedev(1, 3)
_CONSOLE = "/dev/console"


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
        return "; ".join(_shown(item, self.path + item.target) for item in items)

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        items = self.mounts or (Mount("bind", self.path, ("rbind",)),)
        try:
            root = self.made if self.made >= 0 else mounts.create(items[0])
            below = os.open(self.path, _O_PLACE | os.O_DIRECTORY)
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
        return _shown(self.item, self.item.target)

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        item = self.item
        try:
            if item.fstype == "bind" or self.made >= 0:
                fd = self.made if self.made >= 0 else mounts.create(item)
                is_directory = stat.S_ISDIR(os.fstat(fd).st_mode)
                at, _ = _mount_point(place, item, is_directory=is_directory)
                _check_outside_proc(place, at, item)
            else:
                at, existed = _mount_point(place, item, is_directory=True)
                if item.fstype == "tmpfs" and existed:
                    item = _with_mode_of(item, at)
                    _check_outside_proc(place, at, item)
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
            _shown(Mount("bind", source, ("bind", "ro")), f"{self.item.target}/{name}")
            for name, source in self.groups
        )

    def execute(self, place: Place) -> None:
        """See `Operation`."""
        options = mount_options.parse(self.item.options)
        base = Mount("tmpfs", "tmpfs", ("mode=755",), self.item.target)
        at, _ = _mount_point(place, base, is_directory=True)
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
    below = os.open(name, _O_PLACE | os.O_NOFOLLOW, dir_fd=top)
    fd = mount_api.open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
    mounts.attach(fd, below, name)
    os.close(fd)
    os.close(below)
    for alias in name.split(",") if "," in name else ():
        os.symlink(name, alias, dir_fd=top)


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
            at = place.root.open(self.path, _O_PLACE)
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
        at = place.root.open(self.path, _O_PLACE)
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
            at = place.root.open(self.path, _O_PLACE)
        except (FileNotFoundError, NotADirectoryError):
            return
        flags = AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC
        copy = mount_api.open_tree(at, "", flags)
        mount_api.mount_setattr(copy, "", AT_EMPTY_PATH, set_=MOUNT_ATTR_RDONLY)
        mounts.attach(copy, at, self.path)
        os.close(copy)
        os.close(at)


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
        at, _ = _mount_point(place, Mount("bind", "console", (), _CONSOLE), is_directory=False)
        fd = mount_api.open_tree(0, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
        mounts.attach(fd, at, _CONSOLE)
        os.close(fd)
        os.close(at)


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


def open_terminal(place: Place, rows: int, columns: int) -> tuple[int, int]:
    """Make a terminal in the container's devpts: (master, slave)."""
    master, slave = pty.open_pair(place.root.fd)
    if rows and columns:
        pty.set_size(master, rows, columns)
    return master, slave


def _mount_point(place: Place, item: Mount, *, is_directory: bool) -> tuple[int, bool]:
    """Return a descriptor of the mount point, made if missing, and whether it was there."""
    root = place.root
    existed = True
    try:
        at = _open_place(place, item)
    except FileNotFoundError:
        existed = False
        if is_directory:
            root.mkdirs(item.target)
        else:
            _make_file(root, item.target)
        at = _open_place(place, item)
    if stat.S_ISDIR(os.fstat(at).st_mode) != is_directory:
        os.close(at)
        number = errno.EISDIR if not is_directory else errno.ENOTDIR
        if item.fstype == "bind":
            number = errno.ENOTDIR
        raise OSError(number, os.strerror(number), item.target)
    return at, existed


def _check_outside_proc(place: Place, at: int, item: Mount) -> None:
    """Refuse a mount point that a symlink of the image has led into /proc (CVE-2019-19921)."""
    root = os.readlink(f"/proc/self/fd/{place.root.fd}").rstrip("/")
    path = os.readlink(f"/proc/self/fd/{at}").removeprefix(root)
    if path != "/proc" and not path.startswith("/proc/"):
        return
    if path != os.path.normpath(item.target):  # what the configuration itself says is planned
        os.close(at)
        raise OSError(
            errno.EPERM,
            f'"{item.target}" cannot be mounted because it is inside /proc',
            item.target,
        )


def _make_file(root: Root, path: str, links: int = _MOST_LINKS) -> None:
    """Make an empty file; a dangling symlink gets its target made, inside the root."""
    root.mkdirs(os.path.dirname(path))
    flags = os.O_CREAT | os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK
    try:
        os.close(root.open(path, flags, 0o755))
    except FileNotFoundError:
        if not links:
            raise
        _make_file(root, os.path.join(os.path.dirname(path), root.readlink(path)), links - 1)


def _open_place(place: Place, item: Mount) -> int:
    if item.fstype in ("proc", "sysfs") or item.target == _CONSOLE:
        # Where these are is known to what masks them: no detour by a link of the image. Nor must a
        # terminal lie over a file of /proc instead (CVE-2025-52565).
        path = item.target.strip("/") or "."
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
        return syscalls.openat2(place.root.fd, path, _O_PLACE, resolve=resolve)
    return place.root.open(item.target, _O_PLACE)


def _with_mode_of(item: Mount, at: int) -> Mount:
    if any(word.startswith("mode=") for word in item.options):
        return item
    mode = stat.S_IMODE(os.fstat(at).st_mode)
    return Mount(item.fstype, item.source, (*item.options, f"mode={mode:o}"), item.target)


def _null_device(place: Place) -> int:
    # The image may have put anything at /dev/null; the host's own does as well.
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
    try:
        fd = syscalls.openat2(place.root.fd, "dev/null", _O_PLACE | os.O_NOFOLLOW, resolve=resolve)
    except OSError:
        return os.open("/dev/null", _O_PLACE)
    status = os.fstat(fd)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL_DEVICE:
        return fd
    os.close(fd)
    return os.open("/dev/null", _O_PLACE)


def _shown(item: Mount, target: str) -> str:
    options = mount_options.parse(item.options)
    words = ",".join(item.options)
    if item.fstype == "bind":
        flags = "OPEN_TREE_CLONE" + (" | AT_RECURSIVE" if options.recursive else "")
        return f'open_tree("{item.source}", {flags}) → move_mount("{target}") [{words}]'
    return f'fsopen("{item.fstype}") → fsmount → move_mount("{target}") [{words}]'
