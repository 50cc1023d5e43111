"""Processes that entered a container from outside, and are children of this one."""

import fcntl
import os
from contextlib import suppress

from tiffin.linux import pidfd


class Companions:
    """Sees to it that none is left: until all are collected, init cannot end.

    The kernel keeps the first process of a PID namespace as long as others of it have not been
    waited for (pid_namespaces(7)).
    """

    def __init__(self) -> None:
        self._descriptors: list[int] = []

    def add(self, descriptor: int) -> None:
        """Note a child that somebody else collects once it ends; the pidfd is duplicated."""
        self._descriptors = [fd for fd in self._descriptors if not _is_collected(fd)]
        self._descriptors.append(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3))

    def end(self) -> None:
        """Kill and collect all."""
        descriptors, self._descriptors = self._descriptors, []
        for descriptor in descriptors:
            end(descriptor)


def end(descriptor: int) -> None:
    """Kill and collect the child, and let go of it."""
    pidfd.kill(descriptor)
    with suppress(ChildProcessError):  # the caller has collected it
        pidfd.wait(descriptor)
    os.close(descriptor)


def _is_collected(descriptor: int) -> bool:
    """Tell whether the child has been waited for; then also closes the descriptor."""
    try:
        os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        os.close(descriptor)
        return True
    return False
