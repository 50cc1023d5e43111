"""Ranges of host ids for containers with a user namespace of their own (`--userns=auto`).

No two of them overlap, so that what breaks out of one container owns nothing of another. As files
are stored with the container's ids, a range can be given to the next container at once.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tiffin.engine.bundle.user_namespaces import UserNamespaceMode
from tiffin.engine.subordinate_ids import Range, free_range, read_ranges
from tiffin.errors import FailedPrecondition
from tiffin.spec.id_mapping import IdMapping, IdMappings

POOL_USER = "containers"
"""Whose lines in /etc/subuid and /etc/subgid are the pool, if there are any."""

DEFAULT_POOL = Range("", 1_879_048_192, 268_304_384)
"""Between what systemd gives to its own containers and to foreign ids (systemd's UIDS-GIDS)."""


class IdRanges:
    """Gives ranges out; used in the event loop only."""

    def __init__(self, etc: Path = Path("/etc")) -> None:
        self._etc = etc
        self._promised: list[IdMappings] = []

    @contextmanager
    def promise(self, mode: UserNamespaceMode, taken: Iterable[IdMappings]) -> Iterator[IdMappings]:
        """Yield mappings that nobody else gets meanwhile; FailedPrecondition if none are left.

        `taken` are those of all containers, which the new one is among when this ends.
        """
        used = [*taken, *self._promised]
        mappings = IdMappings(
            self._mapped("subuid", mode, mode.uids, [item.uids for item in used]),
            self._mapped("subgid", mode, mode.gids, [item.gids for item in used]),
        )
        self._promised.append(mappings)
        try:
            yield mappings
        finally:
            self._promised.remove(mappings)

    def _mapped(
        self,
        file: str,
        mode: UserNamespaceMode,
        wanted: tuple[IdMapping, ...],
        used: Iterable[tuple[IdMapping, ...]],
    ) -> tuple[IdMapping, ...]:
        try:
            lines = read_ranges(self._etc / file)
        except ValueError as error:
            raise FailedPrecondition(str(error)) from error
        pool = [item for item in lines if item.owner == POOL_USER] or [DEFAULT_POOL]
        others = [item for item in lines if item.owner != POOL_USER]
        given = [Range("", item.host, item.size) for items in used for item in items]
        for piece in pool:
            first = free_range([*others, *given], piece.first, mode.size)
            if first + mode.size <= piece.first + piece.size:
                return _around(wanted, first, mode.size)
        raise FailedPrecondition(
            f"no {mode.size} ids are free for a user namespace: lines of user {POOL_USER!r} in"
            f" /etc/{file} say which may be used"
        )


def _around(wanted: tuple[IdMapping, ...], first: int, size: int) -> tuple[IdMapping, ...]:
    """Return `wanted` and, for the container's other ids below `size`, the range from `first`."""
    out, at = [], 0
    for item in sorted(wanted, key=lambda item: item.container):
        if at < item.container:
            length = min(item.container, size) - at
            if length > 0:
                out.append(IdMapping(at, first + at, length))
        out.append(item)
        at = item.container + item.size
    if at < size:
        out.append(IdMapping(at, first + at, size - at))
    return tuple(out)
