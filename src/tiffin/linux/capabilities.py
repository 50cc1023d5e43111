"""Capabilities: names, bit masks and the five sets of a thread (man 7 capabilities)."""

from collections.abc import Iterable

from tiffin.linux import syscalls
from tiffin.linux.syscalls import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_CAPBSET_READ,
    prctl,
)

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
    "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""All names; the index is the capability's number."""

BITS = {name: 1 << number for number, name in enumerate(NAMES)}
CAP_SYS_ADMIN = BITS["CAP_SYS_ADMIN"]


def mask(names: Iterable[str]) -> int:
    """Return the bit mask of known names; unknown ones are left out, as the specification says."""
    bits = 0
    for name in names:
        bits |= BITS.get(name, 0)
    return bits


def names(bits: int) -> tuple[str, ...]:
    """Return the names in a bit mask, by number."""
    return tuple(name for name, bit in BITS.items() if bits & bit)


def held() -> int:
    """Return the mask that the calling thread may use and pass on (its permitted set)."""
    return syscalls.capget()[1]


def bounding() -> int:
    """Return the calling thread's bounding set."""
    bits = 0
    for number in range(len(NAMES)):
        try:
            bits |= prctl(PR_CAPBSET_READ, number) << number
        except OSError:  # a capability that this kernel does not know yet
            break
    return bits


def limit_bounding(keep: int) -> None:
    """Drop everything but `keep` from the bounding set; needs CAP_SETPCAP."""
    for number in range(64):
        if keep >> number & 1 == 0:
            try:
                prctl(PR_CAPBSET_DROP, number)
            except OSError:
                if number < len(NAMES):
                    raise
                break  # past the last capability of this kernel


def set_ambient(bits: int) -> None:
    """Replace the ambient set; each must be permitted and inheritable."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(len(NAMES)):
        if bits >> number & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
