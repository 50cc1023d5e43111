"""Read a container's log, and follow it for as long as the container lives."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.errors import Conflict, InvalidArgument
from tiffin.logs import select
from tiffin.logs.driver import LogFormat, LogQuery, LogReader

_GATHERED = 1 << 19
_POLL_S = 0.05
"""How often a followed log that says nothing is looked at."""


async def read(
    context: Context,
    container: Container,
    query: LogQuery,
    form: LogFormat,
    *,
    follow: bool = False,
) -> AsyncIterator[bytes]:
    """Yield the log in portions that are ready for the client.

    InvalidArgument if neither stream is asked for, FailedPrecondition if the driver keeps no log.
    """
    if not (query.stdout or query.stderr):
        raise InvalidArgument("Bad parameters: you must choose at least one stream")
    if container.status in (Status.REMOVING, Status.DEAD):
        raise Conflict("can not get logs from container which is dead or marked for removal")
    portions = open_log(context, container).stream(query, form, follow=follow)
    changes = _Changes(_path(context, container))
    is_last_look = not _goes_on(container)
    while True:
        changes.look()
        last: bytes | None = b"more"
        while last:
            data, last = await asyncio.to_thread(_gather, portions)
            if data:
                yield data
        if last is not None or is_last_look:
            return
        # Nothing now, and a time limit is the reader's to notice.
        while not (is_last_look or changes.are_there() or query.until_ns):
            is_last_look = await _ended_within(container, _POLL_S)
        if query.until_ns and not is_last_look:
            is_last_look = await _ended_within(container, _POLL_S)


def _gather(portions: Iterator[bytes | None]) -> tuple[bytes, bytes | None]:
    """Return a good deal of what is there, and what the reader gave last.

    That is None for nothing now and b"" for the end. Going to a thread and back costs as much as
    reading a small portion.
    """
    found: list[bytes] = []
    size = 0
    while size < _GATHERED:
        portion = next(portions, b"")
        if not portion:
            return b"".join(found), portion
        found.append(portion)
        size += len(portion)
    return b"".join(found), found[-1]


class _Changes:
    """Notices from afar, without a thread, that a log was written to or rotated."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def look(self) -> None:
        """Take what is there now for known."""
        self._seen = self._state()

    def are_there(self) -> bool:
        """Whether there is something else now."""
        return self._state() != self._seen

    def _state(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path) if self._path is not None else None
        except FileNotFoundError:
            return None
        return (status.st_ino, status.st_size) if status is not None else None


def _goes_on(container: Container) -> bool:
    """Whether it runs or is about to run again."""
    return container.up or container.restarting


async def _ended_within(container: Container, seconds: float) -> bool:
    if container.restarting:
        await asyncio.sleep(seconds)
    elif container.up:
        await asyncio.wait([container.next_end()], timeout=seconds)
    return not _goes_on(container)


def _path(context: Context, container: Container) -> Path | None:
    settings = container.spec.host.log_config
    directory = context.roots.container(container.id) / "log"
    return select.log_file(settings.type, directory, settings.config)


def open_log(context: Context, container: Container) -> LogReader:
    """Return the reader of the container's log; FailedPrecondition if its driver keeps none."""
    settings = container.spec.host.log_config
    directory = context.roots.container(container.id) / "log"
    return select.reader(settings.type, directory, settings.config)


def parse_tail(text: str) -> int:
    """Return the number of lines, -1 for all (also for anything that is no number, as Docker)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
