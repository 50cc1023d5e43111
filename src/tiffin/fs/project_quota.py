"""Project quotas of XFS: how much a set of directories may take together (quotactl(2), xfs_quota(8)).

Directories get a project id that whatever is made in them inherits. Only XFS is asked: on ext4, the
limits do not hold for who has CAP_SYS_RESOURCE, and overlayfs writes as who mounted it.
"""

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Sequence

_SYS_QUOTACTL_FD = 443
_GET_QUOTA, _SET_LIMITS = 0x5803, 0x5804
_PROJECT = 2
_GET_XATTR, _SET_XATTR = 0x801C581F, 0x401C5820
_INHERIT = 0x200
_XATTR = struct.Struct("=5I8x")
_QUOTA = struct.Struct("=bbHI6Q2i2H4b3QiHh8x")
_VERSION, _SOFT_AND_HARD = 1, 1 << 2 | 1 << 3
_BLOCK = 512
_FIRST_ID = 1 << 20

_libc = ctypes.CDLL(None, use_errno=True)


def limit(directories: Sequence[str], size: int, seed: int) -> None:
    """Let what will be in the (empty) directories take `size` bytes together; OSError.

    `seed` chooses the project id, as long as nobody has that. OSError(ENOTSUP) if the file system
    has no project quotas, or does not enforce them.
    """
    fd = os.open(directories[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _type_of(fd) != "xfs":
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), directories[0])
        project = _FIRST_ID + seed % (1 << 30)
        while _limit_of(fd, project):
            project += 1
        _set(fd, project, size)
    finally:
        os.close(fd)
    for directory in directories:
        _change_project(directory, project)


def lift(directory: str) -> None:
    """Forget the limit of the directory's project; nothing if it has none. OSError."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        project = _attributes(fd)[3]
        if project >= _FIRST_ID:
            _set(fd, project, 0)
    finally:
        os.close(fd)


def _type_of(fd: int) -> str:
    device = os.fstat(fd).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            if before.split()[2] == wanted:
                return after.split()[0]
    return ""


def _attributes(fd: int) -> tuple[int, ...]:
    return _XATTR.unpack(fcntl.ioctl(fd, _GET_XATTR, bytes(_XATTR.size)))


def _change_project(directory: str, project: int) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags, extent, extents, _, cow = _attributes(fd)
        fcntl.ioctl(fd, _SET_XATTR, _XATTR.pack(flags | _INHERIT, extent, extents, project, cow))
    finally:
        os.close(fd)


def _limit_of(fd: int, project: int) -> int:
    """Return the limit that the project has, in blocks; OSError(ENOTSUP) without quotas."""
    record = ctypes.create_string_buffer(_QUOTA.size)
    try:
        _control(fd, _GET_QUOTA, project, record)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return 0
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP)) from error
    return int(_QUOTA.unpack(record.raw)[4])


def _set(fd: int, project: int, size: int) -> None:
    blocks = -(-size // _BLOCK)
    values = (_VERSION, _PROJECT, _SOFT_AND_HARD, project, blocks, blocks, *[0] * 18)
    record = ctypes.create_string_buffer(_QUOTA.pack(*values), _QUOTA.size)
    _control(fd, _SET_LIMITS, project, record)


def _control(fd: int, command: int, project: int, record: "ctypes.Array[ctypes.c_char]") -> None:
    if _libc.syscall(_SYS_QUOTACTL_FD, fd, command << 8 | _PROJECT, project, record):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
