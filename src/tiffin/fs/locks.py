"""Advisory locks that die with their holder: flock(2) on an open file."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def try_lock(fd: int) -> bool:
    """Take an exclusive lock on `fd` without waiting; tell whether it was had."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path | str, *, wait: bool = True) -> Iterator[int]:
    """Hold an exclusive lock on the file `path`, created if missing; yield its descriptor.

    BlockingIOError if `wait` is false and another holds it.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield fd
    finally:
        os.close(fd)
