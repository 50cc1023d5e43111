"""The one SQLite file that holds what the engine was asked for.

Rules: one connection, one lock, short transactions. A *durable* transaction has been fsynced when
it returns (what was acknowledged survives a power cut); any other survives a crash of the process
but may lose its last writes with the machine. Repositories create their own tables through
`ensure` and keep their SQL to themselves.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tiffin.fs.reserve import Reserve, full_disk_told

Row = tuple[Any, ...]


class Database:
    """A thread-safe handle on the state file; `path` may be `:memory:` in tests."""

    def __init__(self, path: Path | str) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA foreign_keys=ON")
        self._path = str(path)
        self._reserve = None if self._path == ":memory:" else Reserve(Path(f"{path}.reserve"))
        self._synchronous = ""
        self._set_synchronous("NORMAL")

    def ensure(self, statements: Iterable[str]) -> None:
        """Run idempotent schema statements (`CREATE TABLE IF NOT EXISTS …`)."""
        with self.transaction(durable=False):
            for statement in statements:
                self._connection.execute(statement)

    @contextmanager
    def transaction(
        self, *, durable: bool = True, frees: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside one transaction; roll back on any exception.

        OSError (ENOSPC) if the disk is full; one that `frees` space finds some kept for it.
        """
        with self._lock:
            if self._connection.in_transaction:
                yield self._connection
                return
            self._set_synchronous("FULL" if durable else "NORMAL")
            if frees and self._reserve is not None:
                self._reserve.open_if_needed()
            with full_disk_told(self._path):
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")

    def query(self, sql: str, parameters: Iterable[object] = ()) -> list[Row]:
        """Return all rows of a read."""
        with self._lock:
            return self._connection.execute(sql, tuple(parameters)).fetchall()

    def close(self) -> None:
        """Checkpoint and close."""
        with self._lock:
            self._connection.close()

    def _set_synchronous(self, mode: str) -> None:
        if mode != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous={mode}")
            self._synchronous = mode
