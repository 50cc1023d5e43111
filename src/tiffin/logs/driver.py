"""The log driver and log reader contracts."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One piece of a line of output.

    `time_ns` is Unix time in nanoseconds; `stream` is `stdout` or `stderr`; `partial` means that
    the line goes on in the next record of this stream (`line` then has no newline).
    """

    time_ns: int
    stream: str
    line: bytes
    partial: bool = False
    attributes: dict[str, str] = field(default_factory=dict)


class LogDriver(Protocol):
    """The writing half, used by the shim only."""

    def write(self, stream: str, data: bytes, time_ns: int) -> None:
        """Take bytes just read from the process; the driver splits them into lines."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is pending, so that it may be closed and opened again."""

    def close(self) -> None:
        """Flush and close; an unterminated last line is written."""


@dataclass(frozen=True, slots=True)
class LogQuery:
    """What to read: times in Unix ns, `until_ns` 0 for no end, `tail` -1 for all lines."""

    since_ns: int = 0
    until_ns: int = 0
    tail: int = -1
    stdout: bool = True
    stderr: bool = True


@dataclass(frozen=True, slots=True)
class LogFormat:
    """How `GET /containers/{id}/logs` sends records: stdcopy frames, time first, attributes."""

    framed: bool = True
    timestamps: bool = False
    details: bool = False


class LogReader(Protocol):
    """The reading half, for drivers whose logs can be read back."""

    def read(self, query: LogQuery) -> Iterator[LogRecord]:
        """Yield what is there now, oldest first."""

    def follow(self, query: LogQuery) -> Iterator[LogRecord | None]:
        """Yield what is there and then what comes; None means: nothing now, wait and go on.

        Survives rotation and truncation. Ends only when closed by the caller.
        """

    def stream(
        self, query: LogQuery, form: LogFormat, *, follow: bool = False
    ) -> Iterator[bytes | None]:
        """Yield the same as big portions of bytes, ready for the client; None as in `follow`.

        This is the way for whole logs: no object is made per line.
        """
