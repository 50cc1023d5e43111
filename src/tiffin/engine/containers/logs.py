"""Read a container's log, and follow it for as long as the container lives."""

import asyncio
from collections.abc import AsyncIterator

from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.errors import InvalidArgument
from tiffin.logs import select
from tiffin.logs.driver import LogFormat, LogQuery, LogReader

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
    reader = open_log(context, container)
    portions = reader.stream(query, form, follow=follow)
    ended_seen = not container.up
    while True:
        portion = await asyncio.to_thread(next, portions, b"")
        if portion:
            yield portion
        elif portion is None:
            # Nothing now: over if the container had ended before this look.
            if ended_seen:
                return
            ended_seen = await _ended_within(container, _POLL_S)
        else:
            return


async def _ended_within(container: Container, seconds: float) -> bool:
    if container.up:
        await asyncio.wait([container.next_end()], timeout=seconds)
    return not container.up


def open_log(context: Context, container: Container) -> LogReader:
    """Return the reader of the container's log; FailedPrecondition if its driver keeps none."""
    settings = container.spec.host.log_config
    directory = context.roots.container(container.id) / "log"
    return select.reader(settings.type, directory, settings.config)


def parse_tail(text: str) -> int:
    """Return the number of lines, -1 for all (also for anything that is no number, as Docker)."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
