"""One daemon per pair of roots: the lock, and the pid file."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from tiffin.engine.roots import Roots
from tiffin.errors import Conflict
from tiffin.fs import atomic
from tiffin.fs.locks import locked

_PROGRAMS = (b"tiffind", b"tiffind.pyz")


@contextlib.contextmanager
def only_instance(roots: Roots) -> Iterator[None]:
    """Make both roots and hold them; Conflict if another daemon does."""
    roots.data.mkdir(mode=0o710, parents=True, exist_ok=True)
    roots.exec.mkdir(mode=0o711, parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for root in (roots.data, roots.exec):
            try:
                stack.enter_context(locked(root / "daemon.lock", wait=False))
            except BlockingIOError as error:
                raise Conflict(f"another daemon is running on {root}") from error
        yield


@contextlib.contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    """Keep this process's id in `path`; Conflict if it names a living daemon."""
    if path is None:
        yield
        return
    with contextlib.suppress(FileNotFoundError, ValueError):
        other = int(path.read_text())
        if other != os.getpid() and _is_daemon(other):
            raise Conflict(
                f"process with PID {other} is still running: stop that daemon, or delete {path}"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, f"{os.getpid()}".encode(), durable=False)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _is_daemon(pid: int) -> bool:
    """Tell whether a process is one of ours: a dead one's number may be another program's by now.

    That has `tiffind` or the module as a word; a path with our name in it says nothing. The command
    line of a process that has ended but was not waited for is empty.
    """
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    words = command.split(b"\0")
    return any(
        word == b"tiffin.daemon.main" or word.rpartition(b"/")[2] in _PROGRAMS for word in words
    )
