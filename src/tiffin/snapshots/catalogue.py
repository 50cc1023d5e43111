"""Which snapshots there are: names, kinds and parents, kept in SQLite and mirrored in memory.

A change costs no fsync. After a crash of the process nothing is lost; after one of the machine the
last changes may be, and so may the data of snapshots committed shortly before. Those are known: a
committed row says whether its data has been synced (`settled`), and in which boot it was made.
"""

import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tiffin.errors import AlreadyExists, Conflict, NotFound
from tiffin.fs.reserve import Reserve, full_disk_told
from tiffin.snapshots.snapshotter import Kind, SnapshotInfo

_SCHEMA = """CREATE TABLE IF NOT EXISTS snapshots (
    name TEXT PRIMARY KEY, directory TEXT NOT NULL UNIQUE, parent TEXT NOT NULL,
    kind TEXT NOT NULL, created REAL NOT NULL, boot TEXT NOT NULL, settled INTEGER NOT NULL
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class Record:
    """One snapshot; `directory` is its place on disk, `boot` the boot that made it."""

    name: str
    directory: str
    parent: str
    kind: Kind
    created: float
    boot: str = ""
    settled: bool = False

    @property
    def info(self) -> SnapshotInfo:
        """What the contract shows."""
        created_at = datetime.fromtimestamp(self.created, UTC)
        return SnapshotInfo(self.name, self.parent, self.kind, created_at)


class Catalogue:
    """A thread-safe handle on the catalogue file `path`."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._path = path
        self._reserve = Reserve(path.with_suffix(".reserve"))
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(_SCHEMA)
        self._records: dict[str, Record] = {}
        self._children: dict[str, int] = {}
        for name, directory, parent, kind, created, boot, settled in self._connection.execute(
            "SELECT name, directory, parent, kind, created, boot, settled FROM snapshots"
        ):
            self._remember(
                Record(name, directory, parent, Kind(kind), created, boot, bool(settled))
            )
        self.boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def get(self, name: str) -> Record:
        """Return a record; NotFound."""
        with self._lock:
            if name not in self._records:
                raise NotFound(f"snapshot {name} does not exist")
            return self._records[name]

    def chain(self, name: str) -> list[Record]:
        """Return the committed records from `name` down to its base; NotFound."""
        with self._lock:
            chain = []
            while name:
                record = self.get(name)
                if record.kind is not Kind.COMMITTED:
                    raise NotFound(f"committed snapshot {name} does not exist")
                chain.append(record)
                name = record.parent
            return chain

    def check_free(self, name: str) -> None:
        """AlreadyExists if `name` is taken."""
        with self._lock:
            if name in self._records:
                raise AlreadyExists(f"snapshot {name} already exists")

    def add(self, record: Record) -> None:
        """Add a record; AlreadyExists, NotFound (parent)."""
        with self._lock:
            self.check_free(record.name)
            if record.parent:
                self.chain(record.parent)
            self._insert(replace(record, boot=self.boot))

    def commit(self, name: str, key: str) -> None:
        """Turn the active record `key` into the committed `name`.

        AlreadyExists, NotFound, Conflict if `key` is not active.
        """
        with self._lock:
            record = self.get(key)
            if record.kind is not Kind.ACTIVE:
                raise Conflict(f"snapshot {key} is not active")
            self.check_free(name)
            committed = replace(record, name=name, kind=Kind.COMMITTED, boot=self.boot)
            with full_disk_told(self._path):
                self._connection.execute(
                    "UPDATE snapshots SET name = ?, kind = ?, boot = ? WHERE name = ?",
                    (name, committed.kind.value, committed.boot, key),
                )
            del self._records[key]
            self._records[name] = committed

    def remove(self, name: str) -> Record:
        """Remove and return a record; NotFound, Conflict while it has children."""
        with self._lock:
            record = self.get(name)
            if self._children.get(name):
                raise Conflict(f"snapshot {name} has children")
            self._delete(record)
            return record

    def drop(self, record: Record) -> None:
        """Remove a record that was lost; its children stay, for when there is one again."""
        with self._lock:
            self._delete(record)

    def adopt(self, record: Record) -> None:
        """Add a record that exists on disk, whether its parent is here or not; AlreadyExists."""
        with self._lock:
            self.check_free(record.name)
            self._insert(replace(record, boot=self.boot))

    def has_children(self, name: str) -> bool:
        """Tell whether a snapshot has `name` as its parent."""
        with self._lock:
            return bool(self._children.get(name))

    def walk(self) -> Iterator[Record]:
        """Yield every record, parents before children."""
        with self._lock:
            records = dict(self._records)
        while records:
            # Depth first along parents: what is still in `records` has not been yielded.
            trail = [next(iter(records.values()))]
            while parent := records.get(trail[-1].parent):
                trail.append(parent)
            for record in reversed(trail):
                yield records.pop(record.name)

    def unsettled(self) -> list[Record]:
        """Return the committed records whose data may not be on disk yet."""
        with self._lock:
            return [
                record
                for record in self._records.values()
                if record.kind is Kind.COMMITTED and not record.settled
            ]

    def settle(self, records: list[Record]) -> None:
        """Note that the data of `records` is on disk."""
        with self._lock:
            present = [each for each in records if self._records.get(each.name) == each]
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(
                    "UPDATE snapshots SET settled = 1 WHERE name = ?",
                    [(record.name,) for record in present],
                )
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            for record in present:
                self._records[record.name] = replace(record, settled=True)

    def _insert(self, record: Record) -> None:
        with full_disk_told(self._path):
            self._connection.execute(
                "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    record.name, record.directory, record.parent, record.kind.value, record.created,
                    record.boot, record.settled,
                ),
            )  # fmt: skip
        self._remember(record)

    def _delete(self, record: Record) -> None:
        self._reserve.open_if_needed()
        with full_disk_told(self._path):
            self._connection.execute("DELETE FROM snapshots WHERE name = ?", (record.name,))
        del self._records[record.name]
        if record.parent:
            self._children[record.parent] -= 1

    def _remember(self, record: Record) -> None:
        self._records[record.name] = record
        if record.parent:
            self._children[record.parent] = self._children.get(record.parent, 0) + 1
