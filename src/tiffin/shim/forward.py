"""Published ports in user space: for the traffic that no NAT rule catches.

A TCP connection is two splices through pipes; a UDP client is a socket of its own towards the
container, kept as long as it is used.
"""

import os
import socket
from collections.abc import Callable

from tiffin.shim.loop import HANG_UP, READ, WRITE, Loop, Timer

SPLICE_SIZE = 1 << 16
UDP_IDLE_S = 90.0
MAX_UDP_CLIENTS = 1024
_DATAGRAM = 65535
_BATCH = 64

Address = tuple[str | int, ...]


class TcpForward:
    """Accepts on a listening socket and connects to the target; owns all of it."""

    def __init__(self, loop: Loop, fd: int, target_ip: str, target_port: int) -> None:
        self._loop = loop
        self._target = (target_ip, target_port)
        self._listener = socket.socket(fileno=fd)
        self._listener.setblocking(False)
        self._relays: set[_Relay] = set()
        loop.add(fd, READ, self._on_readable)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is connected."""
        return not self._relays

    def fileno(self) -> int:
        """Return the listening descriptor."""
        return self._listener.fileno()

    def close(self) -> None:
        """Stop accepting and cut the connections."""
        self._loop.remove(self._listener.fileno())
        self._listener.close()
        for relay in tuple(self._relays):
            relay.close()

    def _on_readable(self, _events: int) -> None:
        try:
            near, _address = self._listener.accept()
        except OSError:
            return
        family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
        try:
            far = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            near.close()
            return
        near.setblocking(False)
        far.connect_ex(self._target)
        self._relays.add(_Relay(self._loop, near, far, self._relays.discard))


class _Direction:
    """Bytes from one socket to the other, through a pipe."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source = source
        self.target = target
        self.read_end, self.write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.held = 0
        self.ended = False
        self.shut = False

    def move(self) -> None:
        """Move what can be moved; OSError if either side broke."""
        while not self.shut:
            try:
                if not self.held and not self.ended:
                    self.held = os.splice(self.source.fileno(), self.write_end, SPLICE_SIZE)
                    self.ended = not self.held
                while self.held:
                    self.held -= os.splice(self.read_end, self.target.fileno(), self.held)
            except BlockingIOError:
                return
            if self.ended:
                self.shut = True
                self.target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self.write_end)


class _Relay:
    """One connection, both ways, each closed for itself."""

    def __init__(
        self,
        loop: Loop,
        near: socket.socket,
        far: socket.socket,
        on_closed: Callable[["_Relay"], None],
    ) -> None:
        self._loop = loop
        self._sockets = (near, far)
        self._on_closed = on_closed
        self._ways = (_Direction(near, far), _Direction(far, near))
        self._connected = False
        self._events = {near: 0, far: WRITE}
        loop.add(near.fileno(), 0, self._on_event)
        loop.add(far.fileno(), WRITE, self._on_event)

    def close(self) -> None:
        """Close both connections; idempotent."""
        if self._sockets[0].fileno() < 0:
            return
        for way in self._ways:
            way.close()
        for connection in self._sockets:
            self._loop.remove(connection.fileno())
            connection.close()
        self._on_closed(self)

    def _on_event(self, events: int) -> None:
        near, far = self._sockets
        if near.fileno() < 0:
            return
        if not self._connected:
            if far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or not events & WRITE:
                self.close()
                return
            self._connected = True
        try:
            for way in self._ways:
                way.move()
        except OSError:
            self.close()
            return
        if all(way.shut for way in self._ways) or (events & HANG_UP and not self._wants(near, far)):
            self.close()
            return
        for connection in self._sockets:
            wanted = self._wants(connection)
            if wanted != self._events[connection]:
                self._events[connection] = wanted
                self._loop.change(connection.fileno(), wanted)

    def _wants(self, *connections: socket.socket) -> int:
        events = 0
        for way in self._ways:
            if way.source in connections and not way.ended and not way.held:
                events |= READ
            if way.target in connections and way.held:
                events |= WRITE
        return events


class UdpForward:
    """Passes datagrams to the target and its answers back; owns the socket."""

    def __init__(self, loop: Loop, fd: int, target_ip: str, target_port: int) -> None:
        self._loop = loop
        self._target = (target_ip, target_port)
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._clients: dict[Address, _UdpClient] = {}
        loop.add(fd, READ, self._on_readable)

    @property
    def is_quiet(self) -> bool:
        """Whether there was no client lately."""
        return not self._clients

    def fileno(self) -> int:
        """Return the bound descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop."""
        for client in tuple(self._clients.values()):
            client.close()
        self._loop.remove(self._socket.fileno())
        self._socket.close()

    def _on_readable(self, _events: int) -> None:
        for _ in range(_BATCH):
            try:
                data, address = self._socket.recvfrom(_DATAGRAM)
                client = self._clients.get(address)
                if client is None:
                    if len(self._clients) >= MAX_UDP_CLIENTS:
                        continue
                    client = _UdpClient(
                        self._loop, self._socket, address, self._target, self._forget
                    )
                    self._clients[address] = client
                client.send(data)
            except OSError:
                return

    def _forget(self, address: Address) -> None:
        self._clients.pop(address, None)


class _UdpClient:
    """One client's way to the target and back."""

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        address: Address,
        target: tuple[str, int],
        on_closed: Callable[[Address], None],
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._address = address
        self._on_closed = on_closed
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect(target)
        except OSError:
            self._socket.close()
            raise
        self._used = False
        self._timer: Timer = loop.call_later(UDP_IDLE_S, self._expire)
        loop.add(self._socket.fileno(), READ, self._on_readable)

    def send(self, data: bytes) -> None:
        """Pass a datagram on; it is lost if the target does not take it."""
        self._used = True
        try:
            self._socket.send(data)
        except OSError:
            return

    def close(self) -> None:
        """Forget the client."""
        self._timer.cancel()
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._on_closed(self._address)

    def _on_readable(self, _events: int) -> None:
        for _ in range(_BATCH):
            try:
                self._listener.sendto(self._socket.recv(_DATAGRAM), self._address)
                self._used = True
            except OSError:
                return

    def _expire(self) -> None:
        if self._used:
            self._used = False
            self._timer = self._loop.call_later(UDP_IDLE_S, self._expire)
        else:
            self.close()


def open_forward(
    loop: Loop, fd: int, protocol: str, target_ip: str, target_port: int
) -> TcpForward | UdpForward:
    """Return the forward that owns `fd`."""
    kind = TcpForward if protocol == "tcp" else UdpForward
    return kind(loop, fd, target_ip, target_port)
