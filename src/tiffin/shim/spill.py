"""The output that a client has not taken yet: in memory up to a limit, then in an unlinked file."""

import os
import socket
from collections import deque

MEMORY_LIMIT = 1 << 20
FILE_LIMIT = 1 << 30
_SEND_FILE = 1 << 20


class Backlog:
    """A queue of bytes with bounded memory.

    Order: what is in memory was there before what is in the file, so that once the file is in use
    everything new goes to it until it has been emptied.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._chunks: deque[bytes] = deque()
        self._in_memory = 0
        self._file = -1
        self._read_at = 0
        self._write_at = 0

    def __bool__(self) -> bool:
        return self._in_memory > 0 or self._read_at < self._write_at

    @property
    def is_full(self) -> bool:
        """Whether the memory limit is reached and the file not yet in use."""
        return self._in_memory >= MEMORY_LIMIT and self._read_at == self._write_at

    @property
    def is_exhausted(self) -> bool:
        """Whether the file is as large as it may become; it is emptied when all has been sent."""
        return self._write_at >= FILE_LIMIT

    def append(self, data: bytes, *, spill: bool) -> None:
        """Add bytes; past the memory limit they go to a file if `spill` is set."""
        if self._read_at == self._write_at and (not spill or self._in_memory < MEMORY_LIMIT):
            self._chunks.append(data)
            self._in_memory += len(data)
            return
        if self._file < 0:
            self._file = os.open(self._directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file, view, self._write_at)
            self._write_at += written
            view = view[written:]

    def send_to(self, connection: socket.socket) -> bool:
        """Send what the peer takes now; whether all is sent. OSError if the peer is gone."""
        try:
            while self._chunks:
                batch = [self._chunks[n] for n in range(min(len(self._chunks), 64))]
                self._drop(connection.sendmsg(batch, (), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL))
            while self._read_at < self._write_at:
                size = min(self._write_at - self._read_at, _SEND_FILE)
                self._read_at += os.sendfile(connection.fileno(), self._file, self._read_at, size)
        except BlockingIOError:
            return False
        if self._write_at:
            os.ftruncate(self._file, 0)
            self._read_at = self._write_at = 0
        return True

    def _drop(self, count: int) -> None:
        self._in_memory -= count
        while count:
            first = self._chunks.popleft()
            if len(first) > count:
                self._chunks.appendleft(first[count:])
                return
            count -= len(first)

    def close(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._in_memory = self._read_at = self._write_at = 0
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
