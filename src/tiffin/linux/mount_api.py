"""System calls about mounts: the classic mount(2) and the descriptor-based API of Linux 5.2+.

Thin: each encodes, calls, and raises OSError with errno and path. Man pages: mount(2),
pivot_root(2), open_tree(2), move_mount(2), fsopen(2), fsconfig(2), fsmount(2), mount_setattr(2).
"""

import ctypes
import os

from tiffin.linux.abi import encode, invoke

Path = str | bytes | os.PathLike[str]

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_SYNCHRONOUS = 0x10
MS_REMOUNT = 0x20
MS_MANDLOCK = 0x40
MS_DIRSYNC = 0x80
MS_NOSYMFOLLOW = 0x100
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_SILENT = 0x8000
MS_UNBINDABLE = 0x20000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000
MS_SHARED = 0x100000
MS_RELATIME = 0x200000
MS_I_VERSION = 0x800000
MS_STRICTATIME = 0x1000000
MS_LAZYTIME = 0x2000000

MNT_FORCE = 0x1
MNT_DETACH = 0x2
UMOUNT_NOFOLLOW = 0x8

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_NO_AUTOMOUNT = 0x800
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000

OPEN_TREE_CLONE = 0x1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC

MOVE_MOUNT_F_SYMLINKS = 0x1
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_SYMLINKS = 0x10
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOVE_MOUNT_BENEATH = 0x200

FSOPEN_CLOEXEC = 0x1
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_SET_BINARY = 2
FSCONFIG_SET_PATH = 3
FSCONFIG_SET_PATH_EMPTY = 4
FSCONFIG_SET_FD = 5
FSCONFIG_CMD_CREATE = 6
FSCONFIG_CMD_RECONFIGURE = 7
FSMOUNT_CLOEXEC = 0x1

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000


class mount_attr(ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount(source: Path, target: Path, fstype: str, flags: int, data: str = "") -> None:
    """Mount in the classic way."""
    options = encode(data) if data else None
    invoke(target, "mount", encode(source), encode(target), encode(fstype), flags, options)


def umount2(target: Path, flags: int = 0) -> None:
    """Unmount."""
    invoke(target, "umount2", encode(target), flags)


def pivot_root(new_root: Path, put_old: Path) -> None:
    """Exchange the root mount."""
    invoke(new_root, "pivot_root", encode(new_root), encode(put_old))


def open_tree(dir_fd: int, path: Path, flags: int) -> int:
    """Return a descriptor of the mount, or (OPEN_TREE_CLONE) of a detached copy of it."""
    return invoke(path, "open_tree", dir_fd, encode(path), flags)


def move_mount(
    from_fd: int, from_path: Path, to_fd: int, to_path: Path, flags: int, name: Path | None = None
) -> None:
    """Attach or move a mount; `name` is only what an error names."""
    invoke(name or to_path, "move_mount", from_fd, encode(from_path), to_fd, encode(to_path), flags)


def fsopen(fstype: str, flags: int = FSOPEN_CLOEXEC) -> int:
    """Return a descriptor of a new filesystem context."""
    return invoke(fstype, "fsopen", encode(fstype), flags)


def fsconfig(
    fd: int, command: int, key: str | None = None, value: str | None = None, aux: int = 0
) -> None:
    """Configure with a string; what the filesystem complains of is added to the error."""
    try:
        invoke(key, "fsconfig", fd, command, encode(key) if key is not None else None,
               encode(value) if value is not None else None, aux)  # fmt: skip
    except OSError as error:
        raise _explained(error, fd) from None


def fsconfig_fd(fd: int, key: str, value: int) -> None:
    """Configure with a descriptor; what the filesystem complains of is added to the error."""
    try:
        invoke(key, "fsconfig", fd, FSCONFIG_SET_FD, encode(key), None, value)
    except OSError as error:
        raise _explained(error, fd) from None


def fsmount(fd: int, flags: int = FSMOUNT_CLOEXEC, attributes: int = 0) -> int:
    """Return a descriptor of a detached mount of the configured filesystem."""
    try:
        return invoke("fsmount", "fsmount", fd, flags, attributes)
    except OSError as error:
        raise _explained(error, fd) from None


def mount_setattr(
    dir_fd: int,
    path: Path,
    flags: int,
    *,
    set_: int = 0,
    clear: int = 0,
    propagation: int = 0,
    userns_fd: int = 0,
) -> None:
    """Change a mount's attributes; AT_RECURSIVE in `flags` for the whole tree."""
    attr = mount_attr(set_, clear, propagation, userns_fd)
    size = ctypes.sizeof(attr)
    invoke(
        path or "mount_setattr",
        "mount_setattr",
        dir_fd,
        encode(path),
        flags,
        ctypes.byref(attr),
        size,
    )


def _explained(error: OSError, context_fd: int) -> OSError:
    # The context is a log, too: each read(2) gives one message, "e " first for an error.
    messages = []
    while True:
        try:
            line = os.read(context_fd, 4096)
        except OSError:
            break
        if not line:
            break
        messages.append(line.decode(errors="replace").strip()[2:])
    text = f"{error.strerror} ({'; '.join(messages)})" if messages else error.strerror
    return OSError(error.errno, text, error.filename)
