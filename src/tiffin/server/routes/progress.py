"""Progress streams of images: lines from a use-case to the client, as they come."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from tiffin.server.stream import JsonLines
from tiffin.wire.jsonmessage import JsonMessage

Emit = Callable[[JsonMessage], None]
_HIGH_WATER = 10_000


async def progress_stream(
    request: web.Request, work: Callable[[Emit], Awaitable[object]], *, always_ok: bool = False
) -> web.StreamResponse:
    """Run `work` and send what it emits.

    An error before the first line becomes a status, unless `always_ok`, a later one a line. The
    work is cancelled when the client goes away.
    """
    queue: asyncio.Queue[JsonMessage | None] = asyncio.Queue()

    def emit(message: JsonMessage) -> None:
        # A client that does not read gets fewer steps of progress, but every other line.
        if not (message.current and queue.qsize() > _HIGH_WATER):
            queue.put_nowait(message)

    async def run() -> None:
        try:
            await work(emit)
        finally:
            queue.put_nowait(None)

    async with JsonLines(request, lazy=True, always_ok=always_ok) as out:
        task = asyncio.create_task(run())
        try:
            while (message := await queue.get()) is not None:
                await out.write(message.to_json())
            await task
        finally:
            task.cancel()
            await asyncio.wait([task])
    return out.response
