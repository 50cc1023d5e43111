"""The container's resolver: its sockets live in the container's network namespace.

Names of ours are answered at once from the names file; any other query goes, as the bytes it is, to
the upstream servers from the host's namespace: one after the other, each with its own source port
and a random id, over the transport that the client used. Nothing here blocks.
"""

import os
import socket
from collections.abc import Callable, Sequence

from tiffin.shim.loop import HANG_UP, READ, WRITE, Loop, Timer
from tiffin.wire import dns
from tiffin.wire.names import Names

UPSTREAM_PORT = 53
TIMEOUT_S = 4.0
MAX_PENDING = 1024
IDLE_S = 30.0
_DATAGRAM = 65535
_BATCH = 64
_HEADER = 12
_TRY_ANOTHER = (2, 5)
"""SERVFAIL and REFUSED (RFC 1035, 4.1.1): of this server, where another one may know."""


class Resolver:
    """Answers on the two sockets until closed; it owns them."""

    def __init__(
        self, loop: Loop, udp: int, tcp: int, names: str, upstreams: Sequence[str]
    ) -> None:
        self._loop = loop
        self._names = Names(names)
        self._upstreams = tuple(upstreams)
        self._udp = socket.socket(fileno=udp)
        self._tcp = socket.socket(fileno=tcp)
        self._pending: set[_Exchange | _Connection] = set()
        for listener, handler in ((self._udp, self._on_datagram), (self._tcp, self._on_connection)):
            listener.setblocking(False)
            loop.add(listener.fileno(), READ, handler)

    @property
    def udp_port(self) -> int:
        """Where the UDP socket is bound."""
        return int(self._udp.getsockname()[1])

    @property
    def tcp_port(self) -> int:
        """Where the TCP socket listens."""
        return int(self._tcp.getsockname()[1])

    @property
    def is_quiet(self) -> bool:
        """Whether no query is on its way."""
        return not self._pending

    def close(self) -> None:
        """Stop answering."""
        for item in tuple(self._pending):
            item.close()
        for listener in (self._udp, self._tcp):
            if listener.fileno() >= 0:
                self._loop.remove(listener.fileno())
                listener.close()

    def resolve(self, data: bytes, reply: Callable[[bytes], None], *, stream: bool) -> None:
        """Answer one query by calling `reply`, now or later; what is no query is dropped."""
        try:
            query = dns.parse_query(data)
        except dns.MalformedQuery:
            return
        own = dns.answer(query, self._names, stream=stream)
        if own is not None:
            reply(own)
        elif len(self._pending) >= MAX_PENDING or not self._upstreams:
            reply(dns.failure(query))
        else:
            _Exchange(self._loop, self._pending, query, self._upstreams, reply, stream=stream)

    def _on_datagram(self, _events: int) -> None:
        for _ in range(_BATCH):
            try:
                data, address = self._udp.recvfrom(_DATAGRAM)
            except OSError:
                return

            def reply(message: bytes, address: tuple[str, int] = address) -> None:
                try:
                    self._udp.sendto(message, address)
                except OSError:
                    return  # the client will ask again

            self.resolve(data, reply, stream=False)

    def _on_connection(self, _events: int) -> None:
        try:
            connection, _address = self._tcp.accept()
        except OSError:
            return
        if len(self._pending) >= MAX_PENDING:
            connection.close()
        else:
            _Connection(self._loop, self._pending, connection, self)


class _Exchange:
    """One query on its way through the upstream servers."""

    def __init__(
        self,
        loop: Loop,
        pending: "set[_Exchange | _Connection]",
        query: dns.Query,
        upstreams: Sequence[str],
        reply: Callable[[bytes], None],
        *,
        stream: bool,
    ) -> None:
        self._loop = loop
        self._pending = pending
        self._query = query
        self._left = list(upstreams)
        self._reply = reply
        self._stream = stream
        self._socket: socket.socket | None = None
        self._timer: Timer | None = None
        self._sent = self._received = b""
        pending.add(self)
        self._try_next()

    def close(self) -> None:
        """Give up without an answer."""
        self._pending.discard(self)
        self._drop_socket()

    def _drop_socket(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.remove(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _try_next(self) -> None:
        self._drop_socket()
        if not self._left:
            self._finish(dns.failure(self._query))
            return
        server = self._left.pop(0)
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        kind = socket.SOCK_STREAM if self._stream else socket.SOCK_DGRAM
        message = os.urandom(2) + self._query.data[2:]
        self._sent = len(message).to_bytes(2, "big") + message if self._stream else message
        self._received = b""
        try:
            self._socket = socket.socket(family, kind | socket.SOCK_NONBLOCK)
            if self._stream:
                self._socket.connect_ex((server, UPSTREAM_PORT))
            else:
                self._socket.connect((server, UPSTREAM_PORT))
                self._socket.send(self._sent)
        except OSError:
            self._try_next()
            return
        self._loop.add(self._socket.fileno(), WRITE if self._stream else READ, self._on_event)
        self._timer = self._loop.call_later(TIMEOUT_S, self._try_next)

    def _on_event(self, events: int) -> None:
        assert self._socket is not None
        try:
            if events & WRITE and self._stream:
                self._socket.sendall(self._sent)
                self._loop.change(self._socket.fileno(), READ)
                return
            data = self._socket.recv(_DATAGRAM)
        except BlockingIOError:
            return
        except OSError:
            self._try_next()
            return
        if self._stream:
            self._take_stream(data)
        elif data[:2] == self._sent[:2] and self._is_reply(data):
            self._take(data)

    def _take_stream(self, data: bytes) -> None:
        self._received += data
        length = int.from_bytes(self._received[:2], "big")
        message = self._received[2 : 2 + length]
        if len(self._received) >= 2 and len(message) == length:
            if message[:2] == self._sent[2:4] and self._is_reply(message):
                self._take(message)
            else:
                self._try_next()
        elif not data:
            self._try_next()

    def _take(self, message: bytes) -> None:
        if self._left and message[3] & 0x0F in _TRY_ANOTHER:
            self._try_next()
        else:
            self._finish(self._query.data[:2] + message[2:])

    def _is_reply(self, message: bytes) -> bool:
        # Of a forged answer the question would have to match too, besides port and id.
        size = len(self._query.question)
        question = message[12 : 12 + size]
        known = not question or question.lower() == self._query.question.lower()
        return known and len(message) >= _HEADER

    def _finish(self, message: bytes) -> None:
        self.close()
        self._reply(message)


class _Connection:
    """A client's TCP connection: queries with a two-byte length, one after the other."""

    def __init__(
        self,
        loop: Loop,
        pending: "set[_Exchange | _Connection]",
        connection: socket.socket,
        resolver: Resolver,
    ) -> None:
        self._loop = loop
        self._pending = pending
        self._connection = connection
        self._resolver = resolver
        self._received = b""
        pending.add(self)
        connection.setblocking(False)
        loop.add(connection.fileno(), READ, self._on_readable)
        self._timer = loop.call_later(IDLE_S, self.close)

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._pending.discard(self)
        self._timer.cancel()
        if self._connection.fileno() >= 0:
            self._loop.remove(self._connection.fileno())
            self._connection.close()

    def _on_readable(self, events: int) -> None:
        try:
            data = self._connection.recv(_DATAGRAM)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or events & HANG_UP:
            self.close()
            return
        self._received += data
        while len(self._received) >= 2:
            end = 2 + int.from_bytes(self._received[:2], "big")
            if len(self._received) < end:
                return
            query, self._received = self._received[2:end], self._received[end:]
            self._resolver.resolve(query, self._send, stream=True)

    def _send(self, message: bytes) -> None:
        if self._connection.fileno() < 0:
            return
        try:
            self._connection.sendall(len(message).to_bytes(2, "big") + message)
        except OSError:
            self.close()
