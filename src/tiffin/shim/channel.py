"""A shim's end of one daemon's connection."""

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence

from tiffin.shim.loop import READ, WRITE, Loop
from tiffin.shim.protocol import (
    Assembler,
    Message,
    Packet,
    ProtocolError,
    close_all,
    encode,
    receive_packet,
    send_packet,
)

MAX_QUEUED = 4096
"""Packets that a daemon may leave unread before it is taken for dead."""


class Channel:
    """Sends without blocking; `on_message` gets each message with its descriptors.

    `on_closed` is called once, when the daemon closes its end or breaks the protocol.
    """

    def __init__(
        self,
        loop: Loop,
        connection: socket.socket,
        on_message: Callable[["Channel", Message, list[int]], None],
        on_closed: Callable[["Channel"], None],
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._on_message = on_message
        self._on_closed = on_closed
        self._assembler = Assembler()
        self._queue: deque[Packet] = deque()
        self._is_open = True
        connection.setblocking(False)
        loop.add(connection.fileno(), READ, self._on_event)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send now or when the daemon reads; the descriptors stay the caller's."""
        if not self._is_open:
            return
        for packet in encode(message, fds):
            if not self._queue and self._try(packet):
                continue
            if len(self._queue) >= MAX_QUEUED:
                self.close()
                return
            body, packet_fds = packet
            self._queue.append((body, [os.dup(fd) for fd in packet_fds]))
            self._loop.change(self._connection.fileno(), READ | WRITE)

    @property
    def is_quiet(self) -> bool:
        """Whether no message is half-way in either direction."""
        return not self._queue and self._assembler.is_empty

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close the connection; idempotent."""
        if self._is_open:
            self._is_open = False
            self._loop.remove(self._connection.fileno())
            self._connection.close()
            self._assembler.close()
            for _body, fds in self._queue:
                close_all(fds)
            self._queue.clear()
            self._on_closed(self)

    def _try(self, packet: Packet) -> bool:
        try:
            send_packet(self._connection, packet)
        except BlockingIOError:
            return False
        except OSError:
            # The daemon is gone; what it sent before is still to be read, and then its end.
            return True
        return True

    def _on_event(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE and self._is_open:
            self._receive()

    def _flush(self) -> None:
        while self._queue:
            if not self._try(self._queue[0]):
                return
            close_all(self._queue.popleft()[1])
        self._loop.change(self._connection.fileno(), READ)

    def _receive(self) -> None:
        try:
            body, fds = receive_packet(self._connection)
            complete = self._assembler.feed(body, fds) if body else None
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            body, complete = b"", None
        if not body:
            self.close()
        elif complete is not None:
            self._on_message(self, *complete)
