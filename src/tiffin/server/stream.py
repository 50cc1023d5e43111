"""Bodies that flow: JSON lines, byte streams, and both as files for threads."""

import asyncio
import contextlib
import io
import socket
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tiffin.api import codec
from tiffin.errors import Cancelled, TiffinError
from tiffin.server.status import unexpected

_SO_SNDBUFFORCE = 32  # socket(7)
_SEND_BUFFER = 1 << 20


class Streams:
    """Handlers that may run for ever; the application ends them when it shuts down."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def add(self, task: "asyncio.Task[Any]") -> None:
        """Take note of a handler until it is done."""
        if task not in self._tasks:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """End them all."""
        for task in list(self._tasks):
            task.cancel()


STREAMS = web.AppKey("STREAMS", Streams)


class JsonLines:
    """A stream of JSON values: `async with JsonLines(request) as out: await out.write(value)`.

    The handler returns `out.response` afterwards. The status and headers leave at once; with
    `lazy` only with the first value, so that an error before it still becomes a proper status (as
    Docker does for pull, push and build). A later error becomes a line of its own; with
    `always_ok` (load) any does.
    """

    def __init__(
        self,
        request: web.Request,
        *,
        lazy: bool = False,
        always_ok: bool = False,
        content_type: str = "application/json",
    ) -> None:
        self.response = web.StreamResponse(headers={"Content-Type": content_type})
        self._request = request
        self._lazy = lazy
        self._always_ok = always_ok

    async def __aenter__(self) -> Self:
        mark_stream(self._request)
        if not self._lazy:
            await self._prepare()
        return self

    async def write(self, value: object) -> None:
        """Send one value; raises ConnectionError when the client is gone."""
        await self.write_raw(codec.encode(value) + b"\n")

    async def write_raw(self, data: bytes) -> None:
        """Send bytes that hold whole encoded lines."""
        await self._prepare()
        await self.response.write(data)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is None:
            await self._prepare()
            return False
        if not isinstance(error, Exception) or isinstance(error, ConnectionError | Cancelled):
            return False
        if not self.response.prepared and not (self._always_ok and isinstance(error, TiffinError)):
            return False
        if isinstance(error, TiffinError):
            message = str(error)
        else:
            message = unexpected(f"stream of {self._request.path}", error)
        await self.write({"errorDetail": {"message": message}, "error": message})
        return True

    async def _prepare(self) -> None:
        if not self.response.prepared:
            _chunked(self._request, self.response)
            await self.response.prepare(self._request)


async def stream_bytes(
    request: web.Request,
    iterator: AsyncIterable[bytes] | Iterable[bytes],
    content_type: str,
    headers: dict[str, str] | None = None,
) -> web.StreamResponse:
    """Send chunks as they come; a plain iterator is advanced in a thread.

    The first chunk is awaited before the headers leave, so that its errors get a proper status; a
    later error cuts the connection, which is the only way to say that the stream is not whole.
    """
    mark_stream(request)
    chunks = iterator if isinstance(iterator, AsyncIterable) else _threaded(iterator)
    source = aiter(chunks)
    first = await anext(source, b"")
    response = web.StreamResponse(headers={"Content-Type": content_type, **(headers or {})})
    _chunked(request, response)
    await response.prepare(request)
    _widen(request)
    if first:
        await response.write(first)
    async for chunk in source:
        await response.write(chunk)
    await response.write_eof()
    return response


def mark_stream(request: web.Request) -> None:
    """Let the application cancel this handler at shutdown; for every request that may not end."""
    task = asyncio.current_task()
    streams = request.app.get(STREAMS)
    if task is not None and streams is not None:
        streams.add(task)


class RequestReader(io.RawIOBase):
    """The request's body as a file, to be read in a worker thread."""

    def __init__(self, request: web.Request) -> None:
        self._content = request.content
        self._loop = asyncio.get_running_loop()
        self._chunk = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any buffer
        """Block until some bytes are there; 0 at the end."""
        if not self._chunk:
            future = asyncio.run_coroutine_threadsafe(self._content.readany(), self._loop)
            self._chunk = memoryview(future.result())
        count = min(len(buffer), len(self._chunk))
        buffer[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count


class ResponseWriter(io.RawIOBase):
    """A prepared response's body as a file, to be written in a worker thread."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response
        self._loop = asyncio.get_running_loop()

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: object) -> int:
        """Block until the bytes are on their way; raises ConnectionError."""
        piece = bytes(data)  # type: ignore[call-overload]  # any buffer
        future = asyncio.run_coroutine_threadsafe(self._response.write(piece), self._loop)
        future.result()
        return len(piece)


def _widen(request: web.Request) -> None:
    """Let the kernel hold a whole chunk, so that the next one is made meanwhile."""
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _SEND_BUFFER)


def _chunked(request: web.Request, response: web.StreamResponse) -> None:
    if request.version >= (1, 1):
        response.enable_chunked_encoding()


async def _threaded(iterable: Iterable[bytes]) -> AsyncIterator[bytes]:
    iterator = iter(iterable)
    while True:
        chunk = await asyncio.to_thread(next, iterator, None)
        if chunk is None:
            return
        yield chunk
