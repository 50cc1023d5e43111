"""The write end of a process's stdin, fed by any number of clients."""

import os
from collections import deque
from collections.abc import Callable

from tiffin.shim.loop import HANG_UP, WRITE, Loop

SPLICE_SIZE = 1 << 20


class Stdin:
    """Takes bytes without blocking; clients stop reading while it `is_busy`.

    A process that has closed its stdin gets nothing more: bytes for it are dropped. A terminal's
    descriptor is shared with its output and is neither closed nor owned here.
    """

    def __init__(self, loop: Loop, fd: int, *, is_terminal: bool) -> None:
        self._loop = loop
        # epoll knows a descriptor once; the terminal's is registered for its output already.
        self._fd = os.dup(fd) if is_terminal else fd
        self._is_terminal = is_terminal
        self._pending: deque[bytes] = deque()
        self._waiting: list[Callable[[], None]] = []
        self._closing = False
        os.set_blocking(self._fd, False)

    @property
    def is_closed(self) -> bool:
        """Whether bytes are dropped."""
        return self._fd < 0

    @property
    def is_busy(self) -> bool:
        """Whether bytes are waiting for the process to read."""
        return bool(self._waiting or self._pending)

    def write(self, data: bytes) -> None:
        """Pass bytes on, now or when the process reads."""
        if self._fd < 0 or self._closing or not data:
            return
        if not self._pending:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                pass
            except OSError:
                self._abandon()
                return
        if data:
            self._pending.append(data)
            self._watch()

    def splice_from(self, fd: int) -> int:
        """Move bytes from a socket without copying; 0 at its end.

        BlockingIOError if the process must read first (or the socket has nothing); OSError if the
        client is gone.
        """
        try:
            return os.splice(fd, self._fd, SPLICE_SIZE, flags=os.SPLICE_F_NONBLOCK)
        except BrokenPipeError:
            self._abandon()
            return 1

    @property
    def can_splice(self) -> bool:
        """Whether `splice_from` may be used now."""
        return not self._is_terminal and self._fd >= 0 and not self._pending and not self._closing

    def when_writable(self, callback: Callable[[], None]) -> None:
        """Call once when the process has read what is pending (or never will)."""
        self._waiting.append(callback)
        self._watch()

    def close(self) -> None:
        """Close once everything pending is written; a terminal stays open."""
        if self._pending:
            self._closing = True
        else:
            self._abandon()

    def _watch(self) -> None:
        self._loop.remove(self._fd)
        self._loop.add(self._fd, WRITE, self._on_writable)

    def _on_writable(self, events: int) -> None:
        try:
            while self._pending:
                first = self._pending.popleft()
                try:
                    rest = first[os.write(self._fd, first) :]
                except BlockingIOError:
                    rest = first
                if rest:
                    self._pending.appendleft(rest)
                    break
        except OSError:
            self._abandon()
            return
        if events & HANG_UP and not events & WRITE:
            self._abandon()
            return
        if not self._pending:
            self._loop.remove(self._fd)
            if self._closing:
                self._abandon()
            else:
                self._wake()

    def _abandon(self) -> None:
        if self._fd >= 0:
            self._loop.remove(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._pending.clear()
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()
