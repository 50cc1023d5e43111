"""Taking the client's connection away from HTTP, as attach, exec and their kin need it.

    client ──► kernel socket ──► EngineProtocol ──► aiohttp's parser ──► handler
                  │                  │                                    │ hijack()
                  │                  └─ holds what follows the request ───┤
                  └─ read no further, descriptor duplicated ──────────────┴─► Connection

Clients may send input right behind the request, before they have seen the answer. So the protocol
recognises a request that may be hijacked by its first line, lets the parser have exactly that
request, and holds every later byte: `hijack` gives them out as `prefix`, and an ordinary answer (an
error, a detached exec) gives them back to the parser.

The handler returns `connection.response`; it then has nothing more to send.
"""

import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.web_protocol import RequestHandler

from tiffin.errors import Cancelled
from tiffin.server.status import error_response

log = logging.getLogger(__name__)

RAW_STREAM = "application/vnd.docker.raw-stream"
MULTIPLEXED_STREAM = "application/vnd.docker.multiplexed-stream"

_CANDIDATE = re.compile(
    rb"POST (?:/v[0-9.]+)?/(?:containers/[^ ?]+/attach|exec/[^ ?/]+/start|session|grpc)[ ?]"
)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_ENCODED = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_HEAD_LIMIT = 1 << 20
_HOLD_LIMIT = 1 << 20


class HijackedResponse(web.StreamResponse):
    """What a handler returns once its connection is no longer HTTP's: sends nothing."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Do nothing."""
        del request
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing."""
        del data


@dataclass(frozen=True, slots=True)
class Connection:
    """A client's connection as a stream socket that belongs to the caller, who must close it.

    `fd` is non-blocking and close-on-exec; `prefix` is input that had arrived already. Both
    directions can be shut down one by one, over TLS too.
    """

    fd: int
    prefix: bytes = b""
    response: web.StreamResponse = field(default_factory=HijackedResponse)

    def close(self) -> None:
        """Close the caller's descriptor; whoever duplicated it keeps the connection alive."""
        os.close(self.fd)


class EngineProtocol(RequestHandler):
    """aiohttp's protocol, with the hold on what follows a request that may be hijacked."""

    __slots__ = ("_head", "_held", "_hijacked", "_hold_after", "_input_ended")

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  # aiohttp's own
        super().__init__(*args, **options)
        self._head = b""
        self._hold_after = -1
        self._held: bytearray | None = None
        self._hijacked = False
        self._input_ended = False

    def data_received(self, data: bytes) -> None:
        """Feed the parser, or hold what does not belong to HTTP any more."""
        if self._held is not None:
            self._hold(data)
        elif self._hold_after > 0:
            self._feed_body(data)
        elif self._head or (data.startswith(b"POST ") and self._between_requests()):
            self._feed_head(self._head + data)
        else:
            super().data_received(data)

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio allows both
        """Keep the connection if its input has ended behind a request that may be hijacked."""
        self._input_ended = self._held is not None
        return self._input_ended or super().eof_received()

    def take_held(self) -> bytes:
        """Leave HTTP: return the bytes held, and neither parse nor answer anything more."""
        held, self._held = bytes(self._held or b""), None
        self._hijacked = True
        return held

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Give held bytes back to the parser unless the connection was hijacked."""
        if self._hijacked:
            self.log_access(request, resp, start_time)
            self.keep_alive(False)
            self.close()
            return resp, True
        done = await super().finish_response(request, resp, start_time)
        self._release()
        return done

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that is none, which is the client's affair and not worth a traceback."""
        if status >= 500 or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        log.debug("malformed request", extra={"error": message or str(exc)})
        response = error_response(status, (message or "malformed request").strip())
        response.force_close()
        return response

    def _between_requests(self) -> bool:
        idle = self._waiter is not None and not self._waiter.done()
        return idle or self._request_count == 0

    def _feed_head(self, data: bytes) -> None:
        self._head = b""
        end = data.find(b"\r\n\r\n") + 4
        line_known = b"\n" in data or len(data) > 4096
        if line_known and not _CANDIDATE.match(data):
            super().data_received(data)
        elif end < 4 and len(data) < _HEAD_LIMIT:
            self._head = data
        elif end < 4 or _ENCODED.search(data, 0, end):
            super().data_received(data)
        else:
            length = _LENGTH.search(data, 0, end)
            self._hold_after = end + (int(length.group(1)) if length else 0)
            self._feed_body(data)

    def _feed_body(self, data: bytes) -> None:
        own, rest = data[: self._hold_after], data[self._hold_after :]
        self._hold_after -= len(own)
        if self._hold_after == 0:
            self._hold_after = -1
            self._held = bytearray()
        super().data_received(own)
        if rest:
            self._hold(rest)

    def _hold(self, data: bytes) -> None:
        if self._held is None:
            super().data_received(data)
            return
        self._held += data
        if len(self._held) > _HOLD_LIMIT and self.transport is not None:
            self.transport.pause_reading()

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is None or self.transport is None:
            return
        if len(held) > _HOLD_LIMIT:
            self.transport.resume_reading()
        if held:
            self.data_received(bytes(held))
        if self._input_ended and self._held is None:
            self.close()


class EngineServer(web.Server):
    """aiohttp's server, making `EngineProtocol`s."""

    def __call__(self) -> RequestHandler:
        """Make the protocol of one connection."""
        return EngineProtocol(self, loop=self._loop, **self._kwargs)


class EngineRunner(web.AppRunner):
    """aiohttp's runner, with an `EngineServer`."""

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return EngineServer(
            plain.request_handler,
            request_factory=plain.request_factory,
            **self._kwargs,
        )


def wants_upgrade(request: web.Request) -> bool:
    """Tell if the client asks for `Upgrade: tcp`, as new ones do."""
    return bool(request.headers.get("Upgrade"))


async def hijack(
    request: web.Request, *, content_type: str = RAW_STREAM, protocol: str = "tcp"
) -> Connection:
    """Answer 101 (to `Upgrade`) or 200, and hand over the connection. The body must be read before.

    Raises Cancelled if the client is gone, and TypeError on a server without `EngineProtocol`.
    """
    http = request.protocol
    transport = request.transport
    if not isinstance(http, EngineProtocol):
        raise TypeError("this server cannot hijack")
    if transport is None or transport.is_closing():
        raise Cancelled("the client is gone")
    transport.pause_reading()
    await _send_all(http, _head(request, content_type, protocol))
    # Only `tls.TlsTransport` has it, whose module is not loaded where nobody speaks TLS.
    detach: Callable[[], int] | None = getattr(transport, "detach", None)
    fd = _duplicate(transport) if detach is None else detach()
    return Connection(fd, http.take_held())


def _head(request: web.Request, content_type: str, protocol: str) -> bytes:
    if wants_upgrade(request):
        lines = [
            "HTTP/1.1 101 UPGRADED",
            f"Content-Type: {content_type}",
            "Connection: Upgrade",
            f"Upgrade: {protocol}",
        ]
    else:
        # Clients of the time before the upgrade know no other type.
        lines = ["HTTP/1.1 200 OK", f"Content-Type: {RAW_STREAM}"]
    return "\r\n".join([*lines, "", ""]).encode()


async def _send_all(http: EngineProtocol, data: bytes) -> None:
    transport = http.transport
    if transport is None:
        raise Cancelled("the client is gone")
    transport.set_write_buffer_limits(high=0)
    transport.write(data)
    try:
        await http._drain_helper()  # noqa: SLF001  # no public way to wait for an empty buffer
    except ConnectionError as error:
        raise Cancelled("the client is gone") from error


def _duplicate(transport: Any) -> int:  # noqa: ANN401  # asyncio's type lacks the socket
    """Duplicate the descriptor; asyncio's copy is closed, not shut down, once the handler ends."""
    sock = transport.get_extra_info("socket")
    return os.dup(sock.fileno())
