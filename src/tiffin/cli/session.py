"""An attached session: standard streams on this side, one hijacked connection on the other."""

import contextlib
import os
import select
import socket
import sys
from collections.abc import Callable

from tiffin.cli import terminal
from tiffin.cli.flags import UsageError
from tiffin.wire.stdcopy import STDERR, Decoder

BLOCK = 1 << 18
ESCAPED = "read escape sequence"
"""What `attach` and `exec` say, with exit code 1, after the detach keys."""

Writer = Callable[[bytes], None]


class Session:
    """Pumps bytes until the container's side ends.

    `framed` is the 8-byte framing of sessions without a terminal. When our own input ends, the
    connection is half-closed, so that the process sees the end of its input and may still answer.
    """

    def __init__(
        self, connection: socket.socket, early: bytes, *, framed: bool, detach_keys: bytes = b""
    ) -> None:
        self._connection = connection
        self._decoder = Decoder() if framed else None
        self._early = early
        self._pending = b""
        self._keys = detach_keys
        self._typed = b""
        self._writers: dict[int, Writer] = {}
        self.detached = False

    def pump(self, *, stdin: bool, stdout: bool = True, stderr: bool = True) -> None:
        """Copy until the peer closes its side, or the user types the detach keys."""
        self._writers = {
            1: _writer(1) if stdout else _discard,
            2: _writer(2) if stderr else _discard,
        }
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        source = sys.stdin.fileno() if stdin else -1
        if stdin:
            self._watch_input(poll, source)
        if self._early:
            self._deliver(self._early)
        with contextlib.suppress(ConnectionResetError):
            self._loop(poll, source)

    def _loop(self, poll: select.poll, source: int) -> None:
        while not self.detached:
            for descriptor, event in poll.poll():
                if descriptor == source:
                    self._take_input(poll, source)
                elif event & select.POLLOUT:
                    self._flush(poll, source)
                elif not self._receive():
                    return

    def _watch_input(self, poll: select.poll, source: int) -> None:
        try:
            poll.register(source, select.POLLIN)
        except OSError:
            self._end_input()

    def _take_input(self, poll: select.poll, source: int) -> None:
        data = os.read(source, BLOCK)
        if not data:
            poll.unregister(source)
            self._end_input()
            return
        self._pending = self._without_detach_keys(data) if self._keys else data
        if self._pending:
            self._flush(poll, source)

    def _without_detach_keys(self, data: bytes) -> bytes:
        """Hold back what may be the beginning of the detach keys; note when they are complete."""
        passed = bytearray()
        for byte in data:
            self._typed += bytes((byte,))
            if self._typed == self._keys:
                self.detached = True
                return bytes(passed)
            while self._typed and not self._keys.startswith(self._typed):
                passed.append(self._typed[0])
                self._typed = self._typed[1:]
        return bytes(passed)

    def _flush(self, poll: select.poll, source: int) -> None:
        """Send what is pending; while the peer is slow, stop reading input but go on with output."""
        try:
            sent = self._connection.send(self._pending, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except (BrokenPipeError, ConnectionResetError):
            self._pending = b""
            with contextlib.suppress(KeyError):
                poll.unregister(source)
            poll.modify(self._connection, select.POLLIN)
            return
        self._pending = self._pending[sent:]
        if self._pending:
            # Not merely masked: a closed pipe would report POLLHUP all the time.
            with contextlib.suppress(KeyError):
                poll.unregister(source)
            poll.modify(self._connection, select.POLLIN | select.POLLOUT)
        else:
            poll.register(source, select.POLLIN)
            poll.modify(self._connection, select.POLLIN)

    def _end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def _receive(self) -> bool:
        data = self._connection.recv(BLOCK)
        if data:
            self._deliver(data)
        return bool(data)

    def _deliver(self, data: bytes) -> None:
        if self._decoder is None:
            self._writers[1](data)
            return
        for piece in self._decoder.feed(data):
            self._writers[2 if piece.stream == STDERR else 1](piece.data)


def _writer(descriptor: int) -> Writer:
    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write


def _discard(data: bytes) -> None:
    del data


def parse_detach_keys(text: str) -> bytes:
    """Return the bytes of e.g. `ctrl-p,ctrl-q` or `ctrl-a,x`; UsageError."""
    codes = bytearray()
    for word in text.split(","):
        if len(word) == 1:
            codes.append(ord(word))
            continue
        letter = word.removeprefix("ctrl-")
        position = "@abcdefghijklmnopqrstuvwxyz[\\]^_".find(letter)
        if not word.startswith("ctrl-") or len(letter) != 1 or position < 0:
            raise UsageError(f"invalid detach keys ({text}): Unknown character: '{word}'")
        codes.append(position)
    return bytes(codes)


def interactive(*, tty: bool, stdin: bool) -> contextlib.AbstractContextManager[None]:
    """Return raw mode for sessions that need it, else nothing."""
    return terminal.raw_input() if tty and stdin else contextlib.nullcontext()
