"""TLS with half-close.

asyncio's own TLS closes both directions as soon as the peer says close_notify, which hangs every
`echo hi | docker run -i` over TCP. This transport drives `ssl.MemoryBIO` over a plain TCP transport
instead: the peer's close_notify is an ordinary end of input, `write_eof` sends ours, and the
connection ends when both have been said.

    TCP transport ◄──► TlsProtocol (BIO │ SSLObject │ BIO) ◄── TlsTransport ──► application

`detach` takes the application off the connection: from then on the bytes flow between TLS and one
end of a socketpair, whose other end is a plain descriptor for somebody else.

A `TlsTransport` does not answer `get_extra_info("sslcontext")`: aiohttp and asyncio's streams would
conclude that half-close is impossible.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import ssl

_READ = 256 << 10
_HIGH_WATER = 256 << 10
_HANDSHAKE_TIMEOUT_S = 10.0


class TlsTransport(asyncio.Transport):
    """What the application protocol sees of a TLS connection."""

    def __init__(self, link: "TlsProtocol") -> None:
        super().__init__()
        self._link = link
        self._detached = False
        self._application: asyncio.Protocol | None = None

    def get_extra_info(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  # asyncio's
        """Answer for the TCP connection and `peercert`; `sslcontext` is deliberately unknown."""
        if name == "sslcontext":
            return default
        return self._link.extra_info(name, default)

    def is_closing(self) -> bool:
        """Tell if no more can be written."""
        return self._detached or self._link.closing

    def close(self) -> None:
        """Flush, say close_notify and close; after `detach` just let go."""
        if not self._detached:
            self._link.close()
        elif self._application is not None:
            application, self._application = self._application, None
            asyncio.get_running_loop().call_soon(application.connection_lost, None)

    def abort(self) -> None:
        """Close at once."""
        if self._detached:
            self.close()
        else:
            self._link.abort()

    def pause_reading(self) -> None:
        """Stop delivering input."""
        if not self._detached:
            self._link.pause_reading()

    def resume_reading(self) -> None:
        """Deliver input again."""
        if not self._detached:
            self._link.resume_reading()

    def is_reading(self) -> bool:
        """Tell if input is delivered."""
        return self._link.reading

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        self._link.write(data)

    def can_write_eof(self) -> bool:
        """Half-close is what this is for."""
        return True

    def write_eof(self) -> None:
        """Send close_notify; input goes on."""
        self._link.write_eof()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the TCP transport's limits."""
        self._link.tcp.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return the bytes that TCP has not taken yet."""
        return self._link.tcp.get_write_buffer_size()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Deliver to another protocol."""
        self._link.application = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol delivered to."""
        return self._link.application

    def detach(self) -> int:
        """Put a socketpair in the application's place; return its other end's descriptor."""
        self._detached, self._application = True, self._link.application
        return self._link.detach()


class TlsProtocol(asyncio.Protocol):
    """The TLS side of one accepted connection."""

    def __init__(self, context: "ssl.SSLContext", factory: Callable[[], asyncio.Protocol]) -> None:
        import ssl  # 15 MB that only a TLS host needs

        self._ssl = ssl
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._factory = factory
        self._established = False
        self._input_ended = False
        self.peer_finished = False
        self._said_eof = False
        self._lost = False
        self._deadline: asyncio.TimerHandle | None = None
        self.closing = False
        self.reading = True
        self.application: asyncio.Protocol
        self.tcp: asyncio.Transport

    # From the TCP transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's hello."""
        self.tcp = cast("asyncio.Transport", transport)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(_HANDSHAKE_TIMEOUT_S, self.abort)

    def data_received(self, data: bytes) -> None:
        """Decrypt what came."""
        self._incoming.write(data)
        self._advance()

    def eof_received(self) -> bool:
        """Take a FIN for an end of input; keep TCP open for what we still have to say."""
        self._input_ended = True
        self._advance()
        return self._established and not self.closing

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application."""
        if self._deadline is not None:
            self._deadline.cancel()
        self.closing = True
        if self._established and not self._lost:
            self._lost = True
            self.application.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass on."""
        if self._established:
            self.application.pause_writing()

    def resume_writing(self) -> None:
        """Pass on."""
        if self._established:
            self.application.resume_writing()

    # From the application, through its transport.

    def extra_info(self, name: str, default: Any) -> Any:  # noqa: ANN401  # asyncio's shape
        """Answer `peercert` and what TCP knows."""
        if name == "peercert":
            return self._object.getpeercert()
        return self.tcp.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Stop delivering; TCP's window then stops the peer."""
        self.reading = False
        self.tcp.pause_reading()

    def resume_reading(self) -> None:
        """Deliver what waits, then go on."""
        if self.closing or self.reading:
            return
        self.reading = True
        self.tcp.resume_reading()
        asyncio.get_running_loop().call_soon(self._advance)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and hand to TCP."""
        if self.closing or self._said_eof or not data:
            return
        self._object.write(data)
        self._flush()

    def write_eof(self) -> None:
        """Send close_notify once."""
        if self._said_eof or self.closing:
            return
        self._said_eof = True
        # unwrap() sends our close_notify and then tries to read the peer's. Data that the peer is
        # still allowed to send would be a fatal error to it, so that it must not see any.
        waiting = self._incoming.read()
        with contextlib.suppress(self._ssl.SSLWantReadError):
            self._object.unwrap()
        self._incoming.write(waiting)
        self._flush()
        if self.peer_finished:
            self._close_tcp()

    def close(self) -> None:
        """Say close_notify and close once TCP has sent everything."""
        self.write_eof()
        self._close_tcp()

    def abort(self) -> None:
        """Drop the connection."""
        self.closing = True
        self.tcp.abort()

    def detach(self) -> int:
        """Pump between TLS and a socketpair from now on; return the other end."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        _Pump.start(self, ours)
        return theirs.detach()

    # Inside.

    def _advance(self) -> None:
        if not self._established and not self._handshake():
            return
        while self.reading and not self.peer_finished and not self.closing:
            try:
                data = self._object.read(_READ)
            except (self._ssl.SSLWantReadError, self._ssl.SSLWantWriteError):
                if not self._input_ended:
                    break
                data = b""
            except (self._ssl.SSLZeroReturnError, self._ssl.SSLEOFError):
                data = b""
            except self._ssl.SSLError:
                self._flush()
                self.abort()
                return
            if not data:
                self._finish_input()
                break
            self.application.data_received(data)
        self._flush()

    def _handshake(self) -> bool:
        try:
            self._object.do_handshake()
        except self._ssl.SSLWantReadError:
            self._flush()
            return False
        except (self._ssl.SSLError, ConnectionError, ValueError):
            self._flush()  # the alert that says why
            self._close_tcp()
            return False
        self._flush()
        if self._deadline is not None:
            self._deadline.cancel()
        self._established = True
        self.tcp.set_write_buffer_limits(_HIGH_WATER)
        self.application = self._factory()
        self.application.connection_made(TlsTransport(self))
        return True

    def _finish_input(self) -> None:
        self.peer_finished = True
        if not self.application.eof_received():
            self.close()
        elif self._said_eof:
            self._close_tcp()

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data and not self.tcp.is_closing():
            self.tcp.write(data)

    def _close_tcp(self) -> None:
        self.closing = True
        self.tcp.close()


class _Pump(asyncio.Protocol):
    """Stands in the application's place and feeds a socketpair; `_Local` is its other half."""

    def __init__(self, link: TlsProtocol) -> None:
        self._link = link
        self._local: asyncio.Transport | None = None

    @classmethod
    def start(cls, link: TlsProtocol, ours: socket.socket) -> None:
        """Replace the application; begin once the local end is connected to the loop."""
        pump = cls(link)
        link.application = pump
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.create_connection(lambda: _Local(link, pump), sock=ours))
        task.add_done_callback(pump.connected)

    def connected(self, task: "asyncio.Task[Any]") -> None:
        """Let the input flow, unless the other end is closed already."""
        if task.cancelled() or task.exception() is not None:
            self._link.abort()
            return
        self._local = task.result()[0]
        if self._link.closing:
            self._local.close()
        elif self._link.peer_finished:
            self._local.write_eof()
        else:
            self._link.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Pass input on."""
        assert self._local is not None
        self._local.write(data)

    def eof_received(self) -> bool:
        """Pass the end of input on."""
        if self._local is not None and not self._local.is_closing():
            self._local.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the local end."""
        del exc
        if self._local is not None:
            self._local.close()

    def pause_writing(self) -> None:
        """TLS is full: do not read the local end."""
        if self._local is not None:
            self._local.pause_reading()

    def resume_writing(self) -> None:
        """TLS flows again."""
        if self._local is not None:
            self._local.resume_reading()


class _Local(asyncio.Protocol):
    """The socketpair's side: output of the container, on its way to the client."""

    def __init__(self, link: TlsProtocol, pump: _Pump) -> None:
        self._link = link
        self._pump = pump

    def data_received(self, data: bytes) -> None:
        self._link.write(data)

    def eof_received(self) -> bool:
        self._link.write_eof()
        return True

    def pause_writing(self) -> None:
        self._link.pause_reading()

    def resume_writing(self) -> None:
        self._link.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._link.close()
