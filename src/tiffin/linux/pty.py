"""Pseudo-terminals of a given devpts instance, opened without trusting any path."""

import fcntl
import os
import stat
import struct
import termios

from tiffin.linux.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, openat2

_TIOCGPTN = 0x80045430
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441
_PTMX = os.makedev(5, 2)


def open_pair(root_fd: int) -> tuple[int, int]:
    """Make a terminal in the devpts at /dev/pts under `root_fd`: (master, slave) descriptors.

    OSError(ENXIO) if what is there is not devpts' multiplexer.
    """
    resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
    flags = os.O_RDWR | os.O_NOCTTY
    place = openat2(root_fd, "dev/pts/ptmx", os.O_PATH | os.O_NOFOLLOW, resolve=resolve)
    try:
        status = os.fstat(place)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _PTMX:
            raise OSError(6, "not a terminal multiplexer", "/dev/pts/ptmx")
    finally:
        os.close(place)
    master = openat2(root_fd, "dev/pts/ptmx", flags, resolve=resolve)
    try:
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        slave = fcntl.ioctl(master, _TIOCGPTPEER, flags | os.O_CLOEXEC)
    except OSError:
        os.close(master)
        raise
    return master, slave


def set_size(fd: int, rows: int, columns: int) -> None:
    """Set the terminal's size; its foreground process group gets SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def size(fd: int) -> tuple[int, int]:
    """Return (rows, columns)."""
    rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8))
    return rows, columns


def make_controlling(fd: int) -> None:
    """Make it the controlling terminal of the calling process, which must lead its session."""
    fcntl.ioctl(fd, termios.TIOCSCTTY, 0)


def number(master: int) -> int:
    """Return N of /dev/pts/N."""
    (value,) = struct.unpack("I", fcntl.ioctl(master, _TIOCGPTN, b"\0" * 4))
    return int(value)


def keep_line_ends(master: int) -> None:
    """Have the terminal not turn line feeds into carriage returns and line feeds."""
    attributes = termios.tcgetattr(master)
    attributes[1] &= ~termios.ONLCR
    termios.tcsetattr(master, termios.TCSANOW, attributes)
