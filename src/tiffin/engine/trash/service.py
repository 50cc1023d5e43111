"""The trash: removed objects by operation, until they are restored or their time is over."""

import asyncio
import logging
import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiffin.api.types.trash import (
    NotRestored,
    RestoreReport,
    TrashItem,
    TrashListing,
    TrashOperation,
)
from tiffin.engine.trash.contract import Owner
from tiffin.errors import NotFound, TiffinError
from tiffin.spec.digest import without_algorithm
from tiffin.spec.times import format_time
from tiffin.state.retired import Operation, Retired, RetiredRecords

log = logging.getLogger(__name__)

KINDS = ("image", "image-name", "volume", "network", "container")
"""In the order in which things come back: what others need, first."""

JOIN_S = 10.0
"""A client's `system prune` is a request per noun; those that follow so soon are one operation."""

_PRUNES = ("container prune", "network prune", "volume prune", "image prune")
LOW_PART, LOW_BYTES = 0.05, 1 << 30
"""Nothing is kept where the file system has less space left than either of these."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long (seconds) and how much (bytes) is kept; no age keeps nothing, 0 bytes is no limit."""

    keep_s: float = 24 * 3600.0
    keep_bytes: int = 0


class Trash:
    """All operations run in the event loop; one at a time changes what is here."""

    def __init__(self, records: RetiredRecords, directory: Path, limits: Limits) -> None:
        self._records = records
        self._directory = directory
        self.limits = limits
        self._owners: dict[str, Owner] = {}
        self._changing = asyncio.Lock()
        self._last: tuple[Operation, str, float] | None = None
        """The latest operation, what joined it last, and when (monotonic)."""
        self._background: set[asyncio.Task[None]] = set()

    def serve(self, owners: Mapping[str, Owner]) -> None:
        """Note who restores and destroys objects of each kind; before anything is removed."""
        self._owners.update(owners)

    async def begin(self, what: str) -> int | None:
        """Begin an operation; None if nothing is to be kept.

        A prune that follows another's of an earlier noun joins it: it is one `system prune`.
        """
        if self.limits.keep_s <= 0 or await asyncio.to_thread(self._is_low):
            return None
        now = time.monotonic()
        if self._last is not None:
            operation, before, began = self._last
            if now - began < JOIN_S and _follows(before, what):
                self._last = (operation, what, now)
                await asyncio.to_thread(self._records.rename, operation.number, "system prune")
                return operation.number
        operation = await asyncio.to_thread(self._records.begin, what)
        self._last = (operation, what, now)
        self._enforce_soon()
        return operation.number

    async def listing(self) -> TrashListing:
        """Return everything, the latest operation first."""
        operations, items = await asyncio.to_thread(self._read)
        keep_s = self.limits.keep_s
        return TrashListing(
            operations=[
                TrashOperation(
                    number=operation.number,
                    what=operation.what,
                    removed_at=_rfc3339(operation.at_ns / 1e9),
                    expires_at=_rfc3339(operation.at_ns / 1e9 + keep_s) if keep_s > 0 else "",
                    size=sum(item.size for item in items[operation.number]),
                    items=[_wire(item) for item in items[operation.number]],
                )
                for operation in reversed(operations)
            ],
            size=sum(item.size for each in items.values() for item in each),
            keep_seconds=int(keep_s),
            keep_bytes=self.limits.keep_bytes,
        )

    async def restore(
        self, number: int | None = None, *, kinds: Collection[str] = (), names: Collection[str] = ()
    ) -> RestoreReport:
        """Bring back what an operation removed (None: the last one that removed what is asked for).

        `kinds` and `names` (names, ids, or starts of ids) choose among its objects. NotFound if
        there is nothing of the kind. What cannot be restored stays, and the report says why.
        """
        async with self._changing:
            operations, items = await asyncio.to_thread(self._read)
            for operation in reversed(operations):
                if number in (None, operation.number):
                    chosen = _choose(items[operation.number], kinds, names)
                    if chosen:
                        return await self._restore(operation, chosen)
        raise NotFound(_nothing(number, names))

    async def empty(self, number: int | None = None) -> int:
        """Destroy everything, or what one operation removed; return the bytes freed. NotFound."""
        async with self._changing:
            operations, items = await asyncio.to_thread(self._read)
            chosen = [o for o in operations if number in (None, o.number)]
            if number is not None and not chosen:
                raise NotFound(_nothing(number, ()))
            faults: list[Exception] = []
            freed = sum([await self._destroy(items[each.number], faults) for each in chosen])
            if faults:
                raise faults[0]
            return freed

    async def enforce(self) -> None:
        """Destroy what is too old or too much, the oldest first; all of it if the disk is full."""
        async with self._changing:
            operations, items = await asyncio.to_thread(self._read)
            total = sum(item.size for each in items.values() for item in each)
            oldest_ns = time.time_ns() - int(self.limits.keep_s * 1e9)
            faults: list[Exception] = []
            for operation in operations:
                too_old = operation.at_ns <= oldest_ns
                too_much = 0 < self.limits.keep_bytes < total
                if not (too_old or too_much or await asyncio.to_thread(self._is_low)):
                    break
                total -= sum(item.size for item in items[operation.number])
                await self._destroy(items[operation.number], faults)
            if faults:
                raise faults[0]

    async def keep_limits(self, every_s: float = 60.0) -> None:
        """Enforce the limits again and again, for as long as the daemon runs."""
        while True:
            try:
                await self.enforce()
            except (OSError, TiffinError) as error:
                log.warning("could not empty the trash: %s", error)
            await asyncio.sleep(every_s)

    async def _restore(self, operation: Operation, items: Sequence[Retired]) -> RestoreReport:
        report = RestoreReport(
            operation=operation.number, what=operation.what, restored=[], failed=[]
        )
        for item in sorted(items, key=lambda item: KINDS.index(item.kind)):
            try:
                await self._owners[item.kind].restore(item)
            except (OSError, TiffinError) as error:
                report.failed.append(NotRestored(item=_wire(item), message=str(error)))
            else:
                report.restored.append(_wire(item))
        return report

    async def _destroy(self, items: Iterable[Retired], faults: list[Exception]) -> int:
        """Destroy all that can be, bytes freed; what fails is added to `faults` and stops nothing."""
        freed = 0
        for item in sorted(items, key=lambda item: -KINDS.index(item.kind)):
            try:
                freed += await self._owners[item.kind].destroy(item)
            except (OSError, TiffinError) as error:
                log.warning("could not destroy %s %s of the trash: %s", item.kind, item.id, error)
                faults.append(error)
        return freed

    def _read(self) -> tuple[list[Operation], dict[int, list[Retired]]]:
        operations = self._records.operations()
        items: dict[int, list[Retired]] = {operation.number: [] for operation in operations}
        for item in self._records.all():
            items.setdefault(item.operation, []).append(item)
        return operations, items

    def _is_low(self) -> bool:
        status = os.statvfs(self._directory)
        size = status.f_blocks * status.f_frsize
        return status.f_bavail * status.f_frsize < min(size * LOW_PART, LOW_BYTES)

    def _enforce_soon(self) -> None:
        async def enforce() -> None:
            try:
                await self.enforce()
            except (OSError, TiffinError) as error:
                log.warning("could not empty the trash: %s", error)

        task = asyncio.create_task(enforce(), name="limit the trash")
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _follows(earlier: str, later: str) -> bool:
    if earlier not in _PRUNES or later not in _PRUNES:
        return False
    return _PRUNES.index(earlier) < _PRUNES.index(later)


def _choose(
    items: Iterable[Retired], kinds: Collection[str], names: Collection[str]
) -> list[Retired]:
    of_kind = [item for item in items if not kinds or item.kind in kinds]
    if not names:
        return of_kind
    chosen = [item for item in of_kind if any(_is_called(item, name) for name in names)]
    # A name of an image that went with the image comes back with it, and the other way round.
    ids = {item.id for item in chosen}
    with_names = {name for item in chosen for name in item.names}
    return [
        item for item in of_kind
        if item.id in ids or (item.kind.startswith("image") and with_names & set(item.names))
    ]  # fmt: skip


def _is_called(item: Retired, name: str) -> bool:
    bare = without_algorithm(name)
    return name in item.names or f"{name}:latest" in item.names or (
        bool(bare) and without_algorithm(item.id).startswith(bare)
    )  # fmt: skip


def _nothing(number: int | None, names: Collection[str]) -> str:
    if number is not None:
        return f"No such operation in the trash: {number}"
    if names:
        return f"Not in the trash: {', '.join(names)}"
    return "The trash is empty: there is nothing to undo"


def _wire(item: Retired) -> TrashItem:
    return TrashItem(kind=item.kind, id=item.id, names=list(item.names), size=item.size)


def _rfc3339(seconds: float) -> str:
    return format_time(int(seconds) * 10**9)
