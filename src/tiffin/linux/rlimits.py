"""Resource limits: asked for, granted as far as the host allows (man 2 getrlimit)."""

import resource
from dataclasses import dataclass

from tiffin.linux import capabilities

NUMBERS = {
    name: number
    for number, name in enumerate(
        (
            "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE",
            "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS",
            "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE",
            "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
        )
    )
}  # fmt: skip
"""Kernel number by name, the same on all architectures but alpha, mips and sparc."""

_INFINITY = 0xFFFFFFFFFFFFFFFF


@dataclass(frozen=True, slots=True)
class Rlimit:
    """One limit as the specification spells it; -1 or 2**64-1 is unlimited."""

    name: str
    soft: int
    hard: int


def apply(limit: Rlimit) -> str:
    """Set the limit on the calling process; return "" or a warning if the host grants only less.

    Without CAP_SYS_RESOURCE a hard limit cannot be raised: then the limit becomes the most that is
    allowed. ValueError for an unknown name or a soft limit above the hard one.
    """
    number = NUMBERS.get(limit.name)
    if number is None:
        raise ValueError(f"invalid rlimit type {limit.name!r}")
    soft, hard = _internal(limit.soft), _internal(limit.hard)
    if _above(soft, hard):
        raise ValueError(f"{limit.name}: soft limit {limit.soft} is above hard limit {limit.hard}")
    try:
        resource.setrlimit(number, (soft, hard))
    except (PermissionError, ValueError):  # `resource` turns EPERM into ValueError
        return _lowered(limit, number, soft, hard)
    return ""


def apply_to(pid: int, limit: Rlimit) -> None:
    """Set the limit on another process; OSError, ValueError if the host does not grant it."""
    values = (_internal(limit.soft), _internal(limit.hard))
    resource.prlimit(pid, NUMBERS[limit.name], values)


def granted(limit: Rlimit) -> Rlimit:
    """Return the limit as `apply` would set it in a child of this process; ValueError."""
    if limit.name not in NUMBERS:
        raise ValueError(f"invalid rlimit type {limit.name!r}")
    _, ceiling = resource.getrlimit(NUMBERS[limit.name])
    if capabilities.held() & capabilities.mask(["CAP_SYS_RESOURCE"]):
        return limit
    soft, hard = (
        ceiling if _above(_internal(value), ceiling) else value
        for value in (limit.soft, limit.hard)
    )
    return Rlimit(limit.name, soft, hard)


def foretell(limit: Rlimit) -> str:
    """Return the warning that `apply` would give in a child of this process, "" for none."""
    _, ceiling = resource.getrlimit(NUMBERS[limit.name])
    hard = _internal(limit.hard)
    if not _above(hard, ceiling) or capabilities.held() & capabilities.mask(["CAP_SYS_RESOURCE"]):
        return ""
    return (
        f"{limit.name} will be lowered to {_text(ceiling)}: the host does not grant {_text(hard)}"
    )


def _lowered(limit: Rlimit, number: int, soft: int, hard: int) -> str:
    _, ceiling = resource.getrlimit(number)
    hard = ceiling if _above(hard, ceiling) else hard
    soft = ceiling if _above(soft, ceiling) else soft
    resource.setrlimit(number, (soft, hard))
    return (
        f"{limit.name} lowered to {_text(soft)}:{_text(hard)} "
        f"(asked for {_text(_internal(limit.soft))}:{_text(_internal(limit.hard))}): "
        "the host does not grant more"
    )


def _internal(value: int) -> int:
    return resource.RLIM_INFINITY if value < 0 or value >= _INFINITY else value


def _above(value: int, limit: int) -> bool:
    if limit == resource.RLIM_INFINITY:
        return False
    return value == resource.RLIM_INFINITY or value > limit


def _text(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)
