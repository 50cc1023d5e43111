"""How a system call is made: libc's syscall(2), the numbers per architecture, errno → OSError.

Sources: `asm-generic/unistd.h` (numbers from 220 on that all architectures share, and aarch64's and
riscv64's older ones), `arch/x86/entry/syscalls/syscall_64.tbl`.
"""

import ctypes
import os
from typing import Any

_MACHINE = os.uname().machine

# Since Linux 5.1 a new system call has the same number on every architecture.
_COMMON = {
    "pidfd_send_signal": 424, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "pidfd_open": 434, "clone3": 435,
    "close_range": 436, "openat2": 437, "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip
_GENERIC = {
    "umount2": 39, "mount": 40, "pivot_root": 41, "capget": 90, "capset": 91, "unshare": 97,
    "setns": 268, "seccomp": 277, "bpf": 280, "execveat": 281, "keyctl": 219, "prctl": 167,
    "sethostname": 161, "setdomainname": 162, "setfsuid": 151, "setfsgid": 152,
    "ioprio_set": 30, "personality": 92, "sched_setattr": 274,
}  # fmt: skip
_X86_64 = {
    "umount2": 166, "mount": 165, "pivot_root": 155, "capget": 125, "capset": 126, "unshare": 272,
    "setns": 308, "seccomp": 317, "bpf": 321, "execveat": 322, "keyctl": 250, "prctl": 157,
    "sethostname": 170, "setdomainname": 171, "setfsuid": 122, "setfsgid": 123,
    "ioprio_set": 251, "personality": 135, "sched_setattr": 314,
}  # fmt: skip

NUMBERS: dict[str, int] = {**_COMMON, **(_X86_64 if _MACHINE == "x86_64" else _GENERIC)}
"""Number by name on the running architecture."""

# PyDLL keeps the interpreter lock: nothing here blocks for long, and `clone3` must hold it.
_syscall = ctypes.PyDLL(None, use_errno=True).syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = [ctypes.c_long, *([ctypes.c_void_p] * 6)]

Argument = Any
"""int, bytes (a NUL-terminated copy), None (NULL), a ctypes array or a `ctypes.byref` result."""


def invoke(
    path: str | bytes | os.PathLike[str] | None,
    name: str,
    a: Argument = 0,
    b: Argument = 0,
    c: Argument = 0,
    d: Argument = 0,
    e: Argument = 0,
    f: Argument = 0,
) -> int:
    """Make the system call `name`; OSError(errno, text, path) if it fails."""
    result = _syscall(NUMBERS[name], a, b, c, d, e, f)
    if result == -1:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), path if path is not None else name)
    return int(result)


def encode(path: str | bytes | os.PathLike[str]) -> bytes:
    """Return the bytes that the kernel takes; ValueError for an embedded NUL."""
    raw = os.fsencode(path)
    if b"\0" in raw:
        raise ValueError(f"embedded null byte in {path!r}")
    return raw
