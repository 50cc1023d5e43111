"""Which capabilities a container's processes get (capabilities(7))."""

from collections.abc import Container, Sequence

from tiffin.errors import InvalidArgument

ALL: tuple[str, ...] = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID",
    "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK",
    "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
    "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""By number, as in linux/capability.h."""

DEFAULT: tuple[str, ...] = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
)  # fmt: skip
"""What a container gets when nothing was said."""

_EVERY = "ALL"


def normalise(names: Sequence[str], option: str) -> tuple[str, ...]:
    """Return capability names in full (`CAP_…` or `ALL`); InvalidArgument names the unknown one.

    `option` (`CapAdd`, `CapDrop`) appears in the message.
    """
    out = []
    for name in names:
        upper = name.upper()
        if upper != _EVERY:
            upper = upper if upper.startswith("CAP_") else f"CAP_{upper}"
            if upper not in ALL:
                raise InvalidArgument(f'invalid {option}: unknown capability: "{upper}"')
        out.append(upper)
    return tuple(out)


def check_available(names: Sequence[str], available: Container[str]) -> None:
    """Raise InvalidArgument for a capability to add that the daemon itself has not."""
    for name in normalise(names, "CapAdd"):
        if name != _EVERY and name not in available:
            raise InvalidArgument(
                "invalid CapAdd: capability not supported by your kernel or not available in the"
                f' current environment: "{name}"'
            )


def effective(add: Sequence[str], drop: Sequence[str], *, privileged: bool) -> tuple[str, ...]:
    """Return what remains of the default set; `ALL` in either list is taken first.

    What is both added and dropped stays, as in Docker.
    """
    if privileged:
        return ALL
    adds, drops = normalise(add, "CapAdd"), normalise(drop, "CapDrop")
    if _EVERY in adds:
        return tuple(name for name in ALL if name not in drops)
    base = () if _EVERY in drops else DEFAULT
    kept = [name for name in base if name not in drops]
    return tuple(dict.fromkeys([*kept, *adds]))


def sets(names: Sequence[str], *, user_is_root: bool = True) -> dict[str, list[str]]:
    """Return an OCI `process.capabilities` object.

    Another user than root keeps only what its bounding set allows it to regain by set-user-ID
    programs or file capabilities, as setuid(2) would have left it.
    """
    held = list(names)
    kept = held if user_is_root else []
    return {"bounding": held, "effective": kept, "permitted": kept}
