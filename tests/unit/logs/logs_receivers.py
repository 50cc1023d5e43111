"""Log servers for tests: they keep what they are sent."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


class StreamServer:
    """Accepts connections one after the other; `answer` may reply to what has come in so far."""

    def __init__(
        self,
        listener: socket.socket,
        answer: Callable[[socket.socket, bytes], None] = lambda _peer, _data: None,
        wrap: Callable[[socket.socket], socket.socket] = lambda peer: peer,
    ) -> None:
        self.received = bytearray()
        self.connections = 0
        self._listener = listener
        self._answer = answer
        self._wrap = wrap
        self._changed = threading.Condition()
        self._peer: socket.socket | None = None
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def wait_for(self, wanted: bytes, timeout_s: float = 10.0) -> bytes:
        with self._changed:
            assert self._changed.wait_for(lambda: wanted in self.received, timeout_s), (
                f"{wanted!r} is not in {bytes(self.received)!r}"
            )
            return bytes(self.received)

    def hang_up(self) -> None:
        """Close the connection that is open."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._peer is not None, 10)
            peer, self._peer = self._peer, None
        assert peer is not None
        peer.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._peer is not None:
            with suppress(OSError):  # it has hung up itself
                self._peer.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                peer, _address = self._listener.accept()
            except OSError:
                return
            with self._wrap(peer) as wrapped:
                with self._changed:
                    self._peer = wrapped
                    self.connections += 1
                    self._changed.notify_all()
                self._read(wrapped)

    def _read(self, peer: socket.socket) -> None:
        while True:
            try:
                data = peer.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            with self._changed:
                self.received += data
                self._changed.notify_all()
            self._answer(peer, data)


def tcp_server(
    answer: Callable[[socket.socket, bytes], None] = lambda _peer, _data: None,
    wrap: Callable[[socket.socket], socket.socket] = lambda peer: peer,
) -> StreamServer:
    return StreamServer(socket.create_server(("127.0.0.1", 0)), answer, wrap)


def datagram_server(path: Path | None = None) -> socket.socket:
    """Return a bound socket, of UDP without a path."""
    server = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0) if path is None else str(path))
    server.settimeout(10)
    return server
