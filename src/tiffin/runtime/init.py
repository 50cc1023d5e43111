"""PID 1 of a container with `--init`: reaps, forwards signals, ends as the program ends.

It needs no binary in the image: it is the child itself, which forks the program instead of becoming
it. It holds no descriptor but stdio, no environment and no privilege that the program has not.
"""

import ctypes
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from tiffin.linux import syscalls

NAME = b"tiffin-init"
_SYNCHRONOUS = {
    signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGTRAP,
    signal.SIGSYS, signal.SIGTTIN, signal.SIGTTOU,
}  # fmt: skip


def forget_origin() -> None:
    """Wipe what /proc/1/environ and /proc/1/cmdline would show: the host's environment.

    Called while /proc is the host's (man 5 proc, /proc/pid/stat, fields 48 to 51).
    """
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    arg_start, arg_end, env_start, env_end = (int(field) for field in fields[45:49])
    if env_start < env_end:
        ctypes.memset(env_start, 0, env_end - env_start)
    if arg_start < arg_end:
        size = arg_end - arg_start
        ctypes.memset(arg_start, 0, size)
        ctypes.memmove(arg_start, NAME, min(size - 1, len(NAME)))
    buffer = ctypes.create_string_buffer(NAME)
    syscalls.prctl(syscalls.PR_SET_NAME, ctypes.addressof(buffer))


def supervise(execute: Callable[[], NoReturn], *, terminal: bool) -> NoReturn:
    """Fork the program by `execute` and stay until it has ended."""
    waited = signal.valid_signals() - _SYNCHRONOUS
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    program = os.fork()
    if program == 0:
        _lead(terminal=terminal)
        execute()
    syscalls.close_range(3)
    while True:
        received = signal.sigwait(waited)
        if received == signal.SIGCHLD:
            status = _reap(program)
            if status is not None:
                os._exit(status)
        else:
            _forward(program, received)


def _lead(*, terminal: bool) -> None:
    # A process group of its own, so that ^C reaches the program once and not this process.
    os.setpgid(0, 0)
    if terminal:
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        try:
            os.tcsetpgrp(0, os.getpid())
        except OSError:
            pass  # a terminal that is not the controlling one (exec in a session of others)
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _reap(program: int) -> int | None:
    """Collect all that have ended; return the program's status once it is among them."""
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            ended = code if code >= 0 else 128 - code


def _forward(program: int, number: int) -> None:
    try:
        os.kill(program, number)
    except ProcessLookupError:
        return
