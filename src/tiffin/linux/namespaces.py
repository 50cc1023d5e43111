"""Namespaces: the OCI words, the kernel's flags and files (man 7 namespaces)."""

import fcntl
import os
import socket
import struct
from dataclasses import dataclass

from tiffin.linux import syscalls


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of namespace: OCI word, clone(2) flag, file name under /proc/<pid>/ns."""

    word: str
    flag: int
    file: str


USER = Kind("user", syscalls.CLONE_NEWUSER, "user")
MOUNT = Kind("mount", syscalls.CLONE_NEWNS, "mnt")
PID = Kind("pid", syscalls.CLONE_NEWPID, "pid")
UTS = Kind("uts", syscalls.CLONE_NEWUTS, "uts")
IPC = Kind("ipc", syscalls.CLONE_NEWIPC, "ipc")
NETWORK = Kind("network", syscalls.CLONE_NEWNET, "net")
CGROUP = Kind("cgroup", syscalls.CLONE_NEWCGROUP, "cgroup")
TIME = Kind("time", syscalls.CLONE_NEWTIME, "time")

KINDS = {kind.word: kind for kind in (USER, MOUNT, PID, UTS, IPC, NETWORK, CGROUP, TIME)}

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1


def join(path: str, kind: Kind) -> None:
    """Move the caller into the namespace that the file stands for (PID: its next children)."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(fd, kind.flag, path)
    finally:
        os.close(fd)


def identity(pid: int | str, kind: Kind) -> tuple[int, int]:
    """Return (device, inode), which tell namespaces apart."""
    status = os.stat(f"/proc/{pid}/ns/{kind.file}")
    return status.st_dev, status.st_ino


def raise_loopback() -> None:
    """Bring `lo` of the caller's network namespace up; the kernel then gives it its addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(probe, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(probe, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))
