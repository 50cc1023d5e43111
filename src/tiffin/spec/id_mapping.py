"""Mappings of user and group ids between a container and its host (user_namespaces(7))."""

import errno
from dataclasses import dataclass

OVERFLOW_ID = 65534
"""What an id without a mapping is shown as (/proc/sys/kernel/overflowuid)."""


@dataclass(frozen=True, slots=True)
class IdMapping:
    """`size` ids from `container` on are those of the host from `host` on."""

    container: int
    host: int
    size: int


@dataclass(frozen=True, slots=True)
class IdMappings:
    """The user and group ids of one user namespace, or of one idmapped mount.

    For a mount, "container" is what is stored on disk and "host" what the mount shows.
    """

    uids: tuple[IdMapping, ...] = ()
    gids: tuple[IdMapping, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.uids or self.gids)

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the host's ids as the container shows them; without maps they are the same."""
        if not self:
            return uid, gid
        inner_uid, inner_gid = to_container(self.uids, uid), to_container(self.gids, gid)
        return (
            OVERFLOW_ID if inner_uid is None else inner_uid,
            OVERFLOW_ID if inner_gid is None else inner_gid,
        )

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the container's ids as the host has them; OSError (EINVAL) without a mapping."""
        if not self:
            return uid, gid
        found = []
        for mappings, number in ((self.uids, uid), (self.gids, gid)):
            item = to_host(mappings, number)
            if item is None:
                text = f"Container ID {number} cannot be mapped to a host ID"
                raise OSError(errno.EINVAL, text)
            found.append(item)
        return found[0], found[1]

    @property
    def root(self) -> tuple[int, int] | None:
        """What the container's root is on the host (uid, gid); None if it is nobody there."""
        uid, gid = to_host(self.uids, 0), to_host(self.gids, 0)
        return None if uid is None or gid is None else (uid, gid)


NO_MAPPINGS = IdMappings()
"""Of whoever has the host's ids."""


def to_host(mappings: tuple[IdMapping, ...], number: int) -> int | None:
    """Return the host's id for a container's one; None if it has none."""
    for item in mappings:
        if item.container <= number < item.container + item.size:
            return item.host + number - item.container
    return None


def to_container(mappings: tuple[IdMapping, ...], number: int) -> int | None:
    """Return the container's id for a host's one; None if it has none."""
    for item in mappings:
        if item.host <= number < item.host + item.size:
            return item.container + number - item.host
    return None


def parse_map(text: str) -> tuple[IdMapping, ...]:
    """Parse what /proc/<pid>/uid_map holds; ValueError."""
    return tuple(IdMapping(*map(int, line.split())) for line in text.splitlines() if line.strip())


def format_map(mappings: tuple[IdMapping, ...]) -> str:
    """Return what /proc/<pid>/uid_map takes."""
    return "".join(f"{item.container} {item.host} {item.size}\n" for item in mappings)
