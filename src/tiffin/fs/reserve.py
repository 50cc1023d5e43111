"""Space that is kept aside, so that there is some left to write down what is removed.

On a full disk even the removal of things needs a few blocks: a database writes it into its journal.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SIZE = 512 << 10
"""Bytes kept aside."""
ENOUGH = 128 << 10
"""Bytes that a transaction never needs more of."""


class Reserve:
    """The file `path`, of no content but allocated; nothing is kept if there is no space for it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_kept = path.exists()
        self._keep()

    def open_if_needed(self) -> None:
        """Give the space back when the file system is full, for the write that follows."""
        status = os.statvfs(self._path.parent)
        available = status.f_bavail * status.f_frsize
        if self._is_kept and available < ENOUGH:
            self._is_kept = False
            self._path.unlink(missing_ok=True)
        elif not self._is_kept and available > 4 * SIZE:
            self._keep()

    def _keep(self) -> None:
        if self._is_kept:
            return
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, SIZE)
            finally:
                os.close(fd)
        except OSError:
            with suppress(OSError):  # later, when there is space
                self._path.unlink(missing_ok=True)
            return
        self._is_kept = True


@contextmanager
def full_disk_told(path: Path | str) -> Iterator[None]:
    """Raise SQLite's "database or disk is full" as the OSError that it is."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
            raise
        number = errno.ENOSPC
        raise OSError(number, os.strerror(number).lower(), str(path)) from error
