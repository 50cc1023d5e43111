"""Pipes between a shim and a process it is about to make."""

import fcntl
import os
from dataclasses import dataclass

from tiffin.runtime.runtime import Stdio
from tiffin.shim.streams import PIPE_SIZE


@dataclass(frozen=True, slots=True)
class Ends:
    """The shim's ends; -1 for what is not piped."""

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1


@dataclass(frozen=True, slots=True)
class Plumbing:
    """Both sides; the process's descriptors are closed once it has been made."""

    ends: Ends
    stdio: Stdio
    inner: tuple[int, ...]

    def close_inner(self) -> None:
        """Close what the process has its own copy of."""
        for fd in self.inner:
            os.close(fd)

    def close_ends(self) -> None:
        """Close the shim's ends, when there will be no process."""
        for fd in (self.ends.stdin, self.ends.stdout, self.ends.stderr):
            if fd >= 0:
                os.close(fd)


def plumb(
    *, stdin: bool, stdout: bool, stderr: bool, terminal: bool, rows: int, columns: int
) -> Plumbing:
    """Make a pipe for each wanted stream; the others, and all of a terminal's, are /dev/null."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    inner = [null]
    process = [null, null, null]
    shim = [-1, -1, -1]
    if not terminal:
        for number, wanted in enumerate((stdin, stdout, stderr)):
            if not wanted:
                continue
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            _enlarge(read_end)
            theirs, ours = (read_end, write_end) if number == 0 else (write_end, read_end)
            inner.append(theirs)
            process[number] = theirs
            shim[number] = ours
    stdio = Stdio(process[0], process[1], process[2], terminal, rows, columns)
    return Plumbing(Ends(*shim), stdio, tuple(inner))


def _enlarge(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    except OSError:
        return  # over the user's pipe quota: the default size works too
