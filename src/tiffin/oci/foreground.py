"""Staying with a process: its signals, its terminal, its end."""

import fcntl
import os
import select
import signal
import struct
import termios
import tty
from types import FrameType, TracebackType
from typing import Self

from tiffin.linux import pidfd, pty
from tiffin.runtime.runtime import Process

_KEPT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG}
_CHUNK = 65536


class Foreground:
    """Catches signals from before the process is made, so that none is lost."""

    def __init__(self) -> None:
        self._caught: list[int] = []
        self._wake, self._written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: list[object] | None = None

    def __enter__(self) -> Self:
        signal.set_wakeup_fd(self._written, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, self._ignore)
        for number in signal.valid_signals() - _KEPT:
            try:
                signal.signal(number, self._note)
            except (OSError, ValueError):  # the C library's own
                continue
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._wake)
        os.close(self._written)
        self._restore()

    def attend(self, process: Process) -> int:
        """Pass signals and the terminal's bytes on until the process ends; return its code."""
        if process.console >= 0:
            self._make_raw()
            _copy_size(process.console)
        try:
            return self._attend(process)
        finally:
            self._restore()

    def _attend(self, process: Process) -> int:
        console = process.console
        poll = select.poll()
        poll.register(process.pidfd, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        if console >= 0:
            poll.register(console, select.POLLIN)
            poll.register(0, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self._wake:
                    os.read(self._wake, _CHUNK)
                    self._pass_on(process)
                    _collect_others(process.pid)
                elif fd == 0:
                    if not _copy(0, console):
                        poll.unregister(0)
                elif fd == console:
                    if not _copy(console, 1):
                        poll.unregister(console)
                else:
                    while console >= 0 and _is_readable(console) and _copy(console, 1):
                        pass
                    return pidfd.wait(process.pidfd).status

    def _pass_on(self, process: Process) -> None:
        caught, self._caught = self._caught, []
        for number in caught:
            if number == signal.SIGWINCH and process.console >= 0:
                _copy_size(process.console)
            else:
                pidfd.send_signal(process.pidfd, number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._caught.append(number)

    def _ignore(self, _number: int, _frame: FrameType | None) -> None:
        """Be called, so that the wake-up descriptor is written to."""

    def _make_raw(self) -> None:
        if os.isatty(0):
            self._before = termios.tcgetattr(0)
            tty.setraw(0)
            raw = termios.tcgetattr(0)
            raw[1] |= termios.OPOST  # the container's terminal leaves line ends to this one
            termios.tcsetattr(0, termios.TCSADRAIN, raw)

    def _restore(self) -> None:
        if self._before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)  # type: ignore[arg-type]
            self._before = None


def _copy(source: int, target: int) -> bool:
    """Pass one portion on; False at the end."""
    try:
        data = os.read(source, _CHUNK)
    except OSError:  # EIO: the last of a terminal's users is gone
        return False
    while data:
        data = data[os.write(target, data) :]
        if not data:
            return True
    return False


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))


def _copy_size(console: int) -> None:
    for fd in (0, 1, 2):
        if os.isatty(fd):
            size = fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8)
            rows, columns, _, _ = struct.unpack("HHHH", size)
            pty.set_size(console, rows, columns)
            return


def _collect_others(pid: int) -> None:
    """Collect orphans of the container, which this process has adopted."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid == pid:
            return
        os.waitpid(found.si_pid, 0)
