"""Routes of containers that take over the connection or go on for long."""

import asyncio
import codecs
import contextlib
import socket
from collections.abc import AsyncIterator, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self

from aiohttp import web

from tiffin.api.types.containers import WaitResponse
from tiffin.engine.containers.attach import AttachOptions, check_attachable
from tiffin.engine.containers.detach_keys import parse_detach_keys
from tiffin.engine.containers.logs import parse_tail
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.times import parse_time
from tiffin.engine.containers.wait import Condition, parse_condition
from tiffin.errors import InvalidArgument, TiffinError
from tiffin.logs.driver import LogFormat, LogQuery
from tiffin.server.hijack import MULTIPLEXED_STREAM, RAW_STREAM, hijack
from tiffin.server.query import flag
from tiffin.server.routing import Route
from tiffin.server.stream import JsonLines, mark_stream, stream_bytes
from tiffin.server.version import request_version

_INTERNAL_ERROR = 1011
"""RFC 6455, section 7.4.1."""


class Containers(Protocol):
    """What the routes need of the engine."""

    def find(self, reference: str) -> Container:
        """Return the live object."""

    async def attach(
        self, container: Container, fd: int, prefix: bytes, options: AttachOptions
    ) -> None:
        """Attach a connected socket."""

    def logs(
        self, container: Container, query: LogQuery, form: LogFormat, *, follow: bool
    ) -> AsyncIterator[bytes]:
        """Yield its log."""

    def stats(
        self, container: Container, *, follow: bool, one_shot: bool
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield its resource use."""

    def wait(self, reference: str, condition: Condition) -> Coroutine[Any, Any, WaitResponse]:
        """Return what waits."""


def routes(service: Containers) -> list[Route]:
    """Return the routes."""

    async def attach(request: web.Request) -> web.StreamResponse:
        await request.read()
        container, options = _attach_options(request, service)
        connection = await hijack(request, content_type=stream_type(request, container))
        try:
            await service.attach(container, connection.fd, connection.prefix, options)
        finally:
            connection.close()
        return connection.response

    async def attach_websocket(request: web.Request) -> web.StreamResponse:
        container, options = _attach_options(request, service, raw=True)
        return await _bridge(request, service, container, options)

    async def logs(request: web.Request) -> web.StreamResponse:
        container = service.find(request.match_info["name"])
        query = LogQuery(
            since_ns=parse_time(request.query.get("since", "")),
            until_ns=parse_time(request.query.get("until", "")),
            tail=parse_tail(request.query.get("tail", "all")),
            stdout=flag(request, "stdout"),
            stderr=flag(request, "stderr"),
        )
        if not (query.stdout or query.stderr):
            raise InvalidArgument("Bad parameters: you must choose at least one stream")
        form = LogFormat(
            framed=not container.spec.config.tty,
            timestamps=flag(request, "timestamps"),
            details=flag(request, "details"),
        )
        portions = service.logs(container, query, form, follow=flag(request, "follow"))
        return await _send_log(request, portions, stream_type(request, container))

    async def wait(request: web.Request) -> web.StreamResponse:
        condition = Condition.NOT_RUNNING
        if request_version(request) >= (1, 30):
            condition = parse_condition(request.query.get("condition", ""))
        pending = asyncio.ensure_future(service.wait(request.match_info["name"], condition))
        try:
            async with JsonLines(request) as out:
                await out.write(await pending)
        finally:
            pending.cancel()
        return out.response

    async def stats(request: web.Request) -> web.StreamResponse:
        container = service.find(request.match_info["name"])
        follow = flag(request, "stream", default=True)
        one_shot = flag(request, "one-shot")
        if follow and one_shot:
            raise InvalidArgument("cannot have stream=true and one-shot=true")
        async with JsonLines(request) as out:
            async for figures in service.stats(container, follow=follow, one_shot=one_shot):
                await out.write(figures)
        return out.response

    return [
        Route("POST", "/containers/{name:.+}/attach", attach),
        Route("GET", "/containers/{name:.+}/attach/ws", attach_websocket),
        Route("GET", "/containers/{name:.+}/logs", logs),
        Route("POST", "/containers/{name:.+}/wait", wait),
        Route("GET", "/containers/{name:.+}/stats", stats),
    ]


def stream_type(request: web.Request, container: Container) -> str:
    """Return the content type of a container's output."""
    framed = not container.spec.config.tty
    return MULTIPLEXED_STREAM if framed and request_version(request) >= (1, 42) else RAW_STREAM


def _attach_options(
    request: web.Request, service: Containers, *, raw: bool = False
) -> tuple[Container, AttachOptions]:
    reference = request.match_info["name"]
    detach_keys = parse_detach_keys(request.query.get("detachKeys"))
    container = service.find(reference)
    # Websockets had all streams before there was a choice.
    every = raw and request_version(request) < (1, 42)
    options = AttachOptions(
        stdin=every or flag(request, "stdin"),
        stdout=every or flag(request, "stdout"),
        stderr=every or flag(request, "stderr"),
        logs=flag(request, "logs"),
        stream=flag(request, "stream"),
        detach_keys=detach_keys,
        raw=raw,
    )
    check_attachable(container, reference)
    return container, options


async def _send_log(
    request: web.Request, portions: AsyncIterator[bytes], content_type: str
) -> web.StreamResponse:
    """Send a log; the headers of one that is followed leave before its first byte."""
    if not flag(request, "follow"):
        return await stream_bytes(request, portions, content_type)
    mark_stream(request)
    response = web.StreamResponse(headers={"Content-Type": content_type})
    if request.version >= (1, 1):
        response.enable_chunked_encoding()
    await response.prepare(request)
    async with contextlib.aclosing(portions):  # type: ignore[type-var]  # it is a generator
        async for portion in portions:
            await response.write(portion)
    await response.write_eof()
    return response


async def _bridge(
    request: web.Request, service: Containers, container: Container, options: AttachOptions
) -> web.StreamResponse:
    """Carry a websocket's messages to and from a socket pair whose other end the shim gets."""
    websocket = web.WebSocketResponse(compress=False)
    await websocket.prepare(request)
    mark_stream(request)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # socket's own signature
    as_text = request_version(request) < (1, 28)
    with ours:
        output = asyncio.create_task(_send_output(websocket, ours, as_text=as_text))
        try:
            with theirs:
                await service.attach(container, theirs.fileno(), b"", options)
            await _take_input(websocket, ours)
        except TiffinError as error:
            await websocket.close(code=_INTERNAL_ERROR, message=_reason(error))
        except ConnectionError:
            pass  # the process's end, or the client's
        finally:
            output.cancel()
            await asyncio.gather(output, return_exceptions=True)
    return websocket


async def _take_input(websocket: web.WebSocketResponse, ours: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    async for message in websocket:
        if message.type in (web.WSMsgType.TEXT, web.WSMsgType.BINARY):
            data = message.data
            await loop.sock_sendall(ours, data.encode() if isinstance(data, str) else data)
    with contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_WR)


async def _send_output(
    websocket: web.WebSocketResponse, ours: socket.socket, *, as_text: bool
) -> None:
    loop = asyncio.get_running_loop()
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while data := await loop.sock_recv(ours, 65536):
        if as_text:
            await websocket.send_str(decoder.decode(data))
        else:
            await websocket.send_bytes(data)
    await websocket.close()


def _reason(error: TiffinError) -> bytes:
    """Return the text of a close frame, which has room for 123 bytes."""
    return str(error).encode()[:123].decode(errors="ignore").encode()


class Steps:
    """Sends the steps of `explain` in order, without making whoever reports them wait."""

    def __init__(self, out: JsonLines) -> None:
        self._out = out
        self._queue: asyncio.Queue[dict[str, object] | None] = asyncio.Queue()
        self._sender: asyncio.Task[None] | None = None

    def add(self, step: str, call: str) -> None:
        """Report one step."""
        self._queue.put_nowait({"step": step, "call": call})

    async def __aenter__(self) -> Self:
        self._sender = asyncio.create_task(self._send())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        known = isinstance(error, TiffinError)
        if error is None:
            self._queue.put_nowait({"started": True})
        elif known:
            self._queue.put_nowait({"error": str(error)})
        self._queue.put_nowait(None)
        if self._sender is not None:
            await self._sender
        return known

    async def _send(self) -> None:
        while (line := await self._queue.get()) is not None:
            await self._out.write(line)
