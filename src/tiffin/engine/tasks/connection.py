"""The daemon's end of a channel to a shim, in the event loop: no thread, no blocking call."""

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tiffin import errors
from tiffin.shim import protocol
from tiffin.shim.protocol import Assembler, Message, Packet, ProtocolError, close_all

Answer = tuple[dict[str, Any], list[int]]


class Connection:
    """Requests and their answers, by number; events go to `on_event`.

    `on_lost` is called once, when the shim's end is closed and everything it sent was handled.
    Descriptors that come with an answer are the caller's.
    """

    def __init__(
        self,
        channel: socket.socket,
        on_event: Callable[[Message], None],
        on_lost: Callable[[], None],
    ) -> None:
        channel.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._channel = channel
        self._on_event = on_event
        self._on_lost = on_lost
        self._assembler = Assembler()
        self._queue: deque[Packet] = deque()
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._last = 0
        self._is_open = True
        self._loop.add_reader(channel, self._receive)

    @property
    def is_open(self) -> bool:
        """Whether the shim is still there."""
        return self._is_open

    async def call(self, make: Callable[[int], Message], fds: Sequence[int] = ()) -> Answer:
        """Send a request, made with its number, and return the answer.

        Raises the shim's error, or Unavailable if the shim is gone. The descriptors stay the
        caller's and may be closed as soon as this coroutine has first suspended.
        """
        if not self._is_open:
            raise errors.Unavailable("the task's shim is gone")
        self._last += 1
        seq = self._last
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answers[seq] = answer
        try:
            self.send(make(seq), fds)
            return await answer
        finally:
            self._answers.pop(seq, None)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message now, or when the shim reads."""
        for packet in protocol.encode(message, fds):
            if not self._queue and self._try(packet):
                continue
            body, packet_fds = packet
            self._queue.append((body, [os.dup(fd) for fd in packet_fds]))
            self._loop.add_writer(self._channel, self._flush)

    def close(self) -> None:
        """Close this end without calling `on_lost`; idempotent."""
        if not self._is_open:
            return
        self._is_open = False
        self._loop.remove_reader(self._channel)
        self._loop.remove_writer(self._channel)
        self._channel.close()
        self._assembler.close()
        for _body, fds in self._queue:
            close_all(fds)
        self._queue.clear()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(errors.Unavailable("the task's shim is gone"))

    def _try(self, packet: Packet) -> bool:
        try:
            protocol.send_packet(self._channel, packet)
        except BlockingIOError:
            return False
        except OSError:
            return True  # the shim is gone; the reader will find out
        return True

    def _flush(self) -> None:
        while self._queue:
            if not self._try(self._queue[0]):
                return
            close_all(self._queue.popleft()[1])
        self._loop.remove_writer(self._channel)

    def _receive(self) -> None:
        try:
            body, fds = protocol.receive_packet(self._channel)
            complete = self._assembler.feed(body, fds) if body else None
        except BlockingIOError:
            return
        except (OSError, ProtocolError):
            body, complete = b"", None
        if not body:
            self.close()
            self._on_lost()
        elif complete is not None:
            self._handle(*complete)

    def _handle(self, message: Message, fds: list[int]) -> None:
        if not isinstance(message, (protocol.Done, protocol.Failed)):
            close_all(fds)
            self._on_event(message)
            return
        answer = self._answers.get(message.seq)
        if answer is None or answer.done():
            close_all(fds)
        elif isinstance(message, protocol.Done):
            answer.set_result((message.result, fds))
        else:
            close_all(fds)
            answer.set_exception(_error(message))


def _error(message: protocol.Failed) -> errors.TiffinError:
    kind = getattr(errors, message.error, None)
    if isinstance(kind, type) and issubclass(kind, errors.TiffinError):
        return kind(message.message)
    return errors.FailedPrecondition(message.message)
