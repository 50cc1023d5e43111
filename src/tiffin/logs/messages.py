"""Output as messages: what drivers that send logs elsewhere make of the bytes of a process.

As in Docker, a message is a line without its newline; a line longer than 16 KB becomes several,
which carry the time of the first, a common id, and numbers from 1 on.
"""

import os
from dataclasses import dataclass

PARTIAL_SIZE = 16 * 1024


@dataclass(frozen=True, slots=True)
class Partial:
    """Which part of a long line a message is."""

    id: str
    ordinal: int
    last: bool


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `time_ns` is Unix time in ns, `stream` is `stdout` or `stderr`."""

    time_ns: int
    stream: str
    line: bytes
    partial: Partial | None = None


class MessageSplitter:
    """Cuts the output of one stream into messages."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._pending = b""
        self._id = ""
        self._ordinal = 0
        self._began_ns = 0

    def feed(self, data: bytes, time_ns: int) -> list[Message]:
        """Return the messages that these bytes complete."""
        *lines, rest = (self._pending + data).split(b"\n")
        found: list[Message] = []
        for line in lines:
            rest_of_line = self._cut(line, time_ns, found)
            found.append(self._whole(rest_of_line, time_ns))
        self._pending = self._cut(rest, time_ns, found)
        return found

    def finish(self, time_ns: int) -> list[Message]:
        """Return what is left at the end: a line that is not terminated."""
        pending, self._pending = self._pending, b""
        return [self._part(pending, time_ns)] if pending else []

    def _cut(self, line: bytes, time_ns: int, found: list[Message]) -> bytes:
        """Add the full parts of a line to what was found; return what remains of it."""
        at = 0
        while len(line) - at >= PARTIAL_SIZE:
            found.append(self._part(line[at : at + PARTIAL_SIZE], time_ns))
            at += PARTIAL_SIZE
        return line[at:] if at else line

    def _part(self, line: bytes, time_ns: int) -> Message:
        if not self._ordinal:
            self._id, self._began_ns = os.urandom(32).hex(), time_ns
        self._ordinal += 1
        return Message(self._began_ns, self._stream, line, Partial(self._id, self._ordinal, False))

    def _whole(self, line: bytes, time_ns: int) -> Message:
        if not self._ordinal:
            return Message(time_ns, self._stream, line)
        last = Partial(self._id, self._ordinal + 1, last=True)
        self._ordinal = 0
        return Message(self._began_ns, self._stream, line, last)
