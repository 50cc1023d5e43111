"""Processes by descriptor: no process can be mistaken for another that got its number."""

import os
import select
import signal
from dataclasses import dataclass

from tiffin.linux.syscalls import pidfd_send_signal

_WALL = 0x40000000  # __WALL: children that send no SIGCHLD, too


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: exit `code`, or the `signal` that killed it (0 if none)."""

    code: int
    signal: int = 0

    @property
    def status(self) -> int:
        """As a shell counts: the code, or 128 + the signal."""
        return 128 + self.signal if self.signal else self.code


def has_ended(pidfd: int, timeout_s: float = 0.0) -> bool:
    """Wait up to `timeout_s` for the process to end; tell whether it has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def reap(pidfd: int) -> Ended | None:
    """Collect a child that has ended; None while it runs. ChildProcessError if it is no child."""
    return _collect(pidfd, os.WNOHANG)


def wait(pidfd: int) -> Ended:
    """Wait for a child and collect it; ChildProcessError if it is no child."""
    ended = None
    while ended is None:
        ended = _collect(pidfd, 0)
    return ended


def _collect(pidfd: int, flags: int) -> Ended | None:
    result = os.waitid(os.P_PIDFD, pidfd, os.WEXITED | _WALL | flags)
    if result is None:
        return None
    if result.si_code == os.CLD_EXITED:
        return Ended(result.si_status)
    return Ended(0, result.si_status)


def send_signal(pidfd: int, number: int) -> bool:
    """Signal the process; False if it has ended."""
    try:
        pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    return True


def kill(pidfd: int) -> bool:
    """Send SIGKILL; False if it has ended."""
    return send_signal(pidfd, signal.SIGKILL)
