"""The user's terminal: raw mode, its size, and telling a container when that changes."""

import contextlib
import fcntl
import os
import signal
import struct
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType


def is_terminal(descriptor: int) -> bool:
    """Tell whether a descriptor is a terminal."""
    return os.isatty(descriptor)


def size(descriptor: int = 1) -> tuple[int, int]:
    """Return rows and columns, (0, 0) if there is no terminal."""
    try:
        packed = fcntl.ioctl(descriptor, termios.TIOCGWINSZ, b"\0" * 8)
    except OSError:
        return 0, 0
    rows, columns, _, _ = struct.unpack("HHHH", packed)
    return rows, columns


@contextlib.contextmanager
def raw_input() -> Iterator[None]:
    """Put standard input into raw mode, and back again whatever happens."""
    descriptor = sys.stdin.fileno()
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        # What was typed ahead is kept.
        tty.setraw(descriptor, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def on_resize(tell: Callable[[int, int], None]) -> Iterator[None]:
    """Call `tell(rows, columns)` now and at every change of the window's size."""
    descriptor = sys.stdout.fileno() if os.isatty(sys.stdout.fileno()) else 0

    def changed(_signal: int = 0, _frame: FrameType | None = None) -> None:
        rows, columns = size(descriptor)
        if rows and columns:
            tell(rows, columns)

    before = signal.signal(signal.SIGWINCH, changed)
    try:
        changed()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
