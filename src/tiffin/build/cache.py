"""The build cache: outcomes by key, in a database of its own, and what cache mounts hold.

```
<root>/cache.db         records, and digests of files in immutable trees
<root>/mounts/<name>/   content of `RUN --mount=type=cache`
<root>/work/<id>/       contexts and scratch of builds under way, removed at start
```
A record refers to a layer by its diff ID and chain ID; if either is gone, the record is a miss and
is dropped. Records survive restarts; losing the last ones with the machine costs only time.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tiffin.build.graph import Layer, Outcome
from tiffin.build.key import Key, Parts, differences
from tiffin.fs.rooted import remove_tree
from tiffin.spec.digest import Digest
from tiffin.state.database import Database, Row

MAXIMUM_REASONS = 3
_SIGNATURE = b"SQLite format 3\0"
_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS record (
         key TEXT PRIMARY KEY, parent TEXT NOT NULL, description TEXT NOT NULL,
         parts TEXT NOT NULL, diff_id TEXT NOT NULL, chain_id TEXT NOT NULL,
         size INTEGER NOT NULL, created TEXT NOT NULL, created_ns INTEGER NOT NULL,
         used_ns INTEGER NOT NULL, uses INTEGER NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS record_by_description ON record (description, used_ns)",
    "CREATE INDEX IF NOT EXISTS record_by_chain ON record (chain_id)",
    """CREATE TABLE IF NOT EXISTS tree_digest (
         tree TEXT NOT NULL, selector TEXT NOT NULL, digest TEXT NOT NULL,
         PRIMARY KEY (tree, selector))""",
)
_COLUMNS = "key, parent, description, diff_id, chain_id, size, created, created_ns, used_ns, uses"


@dataclass(frozen=True, slots=True)
class Record:
    """One remembered outcome. `created` is RFC 3339 as in history; times are Unix ns."""

    key: Digest
    parent: str
    description: str
    outcome: Outcome
    created: str
    created_ns: int
    used_ns: int
    uses: int

    @property
    def size(self) -> int:
        """Bytes of its layer."""
        return self.outcome.layer.size if self.outcome.layer else 0


class BuildCache:
    """Thread-safe. `is_present` tells whether a layer's blob and snapshot still exist."""

    def __init__(self, root: Path, is_present: Callable[[Layer], bool]) -> None:
        self.root = root
        self.work = root / "work"
        self.mounts = root / "mounts"
        self._is_present = is_present
        for directory in (self.work, self.mounts):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = _open(root / "cache.db")
        self._database.ensure(_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def find(self, key: Key) -> Record | None:
        """Return the record of `key` if its layer still exists."""
        rows = self._database.query(f"SELECT {_COLUMNS} FROM record WHERE key = ?", (key.digest,))
        if not rows:
            return None
        record = _record(rows[0])
        if record.outcome.layer and not self._is_present(record.outcome.layer):
            self.forget([record.key])
            return None
        return record

    def store(
        self, key: Key, outcome: Outcome, *, description: str, created: str, parent: str = ""
    ) -> None:
        """Remember an outcome."""
        now = time.time_ns()
        layer = outcome.layer
        values = (
            key.digest, parent, description, json.dumps(key.parts),
            layer.diff_id if layer else "", layer.chain_id if layer else "",
            layer.size if layer else 0, created, now, now, 1,
        )  # fmt: skip
        with self._database.transaction(durable=False) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO record (key, parent, description, parts, diff_id, chain_id,"
                " size, created, created_ns, used_ns, uses) VALUES (?,?,?,?,?,?,?,?,?,?,?)", values
            )  # fmt: skip

    def used(self, keys: Iterable[Digest]) -> None:
        """Count a use of each record."""
        now = time.time_ns()
        with self._database.transaction(durable=False) as connection:
            connection.executemany(
                "UPDATE record SET used_ns = ?, uses = uses + 1 WHERE key = ?",
                [(now, key) for key in keys],
            )

    def explain(self, key: Key, description: str) -> str:
        """Say why `key` is not cached, compared with the last record of the same description."""
        rows = self._database.query(
            "SELECT parts FROM record WHERE description = ? ORDER BY used_ns DESC LIMIT 1",
            (description,),
        )
        if not rows:
            return "not built before"
        before: Parts = tuple((name, value) for name, value in json.loads(rows[0][0]))
        reasons = differences(before, key.parts)
        more = len(reasons) - MAXIMUM_REASONS
        shown = reasons[:MAXIMUM_REASONS] + ([f"and {more} more"] if more > 0 else [])
        return ", ".join(shown) or "its layer is gone"

    def records(self) -> list[Record]:
        """Return all records, oldest use first."""
        return [
            _record(row)
            for row in self._database.query(f"SELECT {_COLUMNS} FROM record ORDER BY used_ns")
        ]

    def layers(self) -> list[Layer]:
        """Return every layer that records refer to: what garbage collection must keep."""
        rows = self._database.query(
            "SELECT DISTINCT diff_id, chain_id, size FROM record WHERE chain_id != ''"
        )
        return [Layer(Digest(diff_id), chain_id, size) for diff_id, chain_id, size in rows]

    def forget(self, keys: Iterable[Digest]) -> None:
        """Drop records; their layers are for the garbage collector."""
        with self._database.transaction(durable=False) as connection:
            connection.executemany("DELETE FROM record WHERE key = ?", [(key,) for key in keys])

    def tree_digest(self, tree: str, selector: str) -> Parts | None:
        """Return the remembered digest of a selection of an immutable tree."""
        rows = self._database.query(
            "SELECT digest FROM tree_digest WHERE tree = ? AND selector = ?", (tree, selector)
        )
        if not rows:
            return None
        return tuple((name, value) for name, value in json.loads(rows[0][0]))

    def remember_tree(self, tree: str, selector: str, parts: Parts) -> None:
        """Remember the digest of a selection of an immutable tree."""
        with self._database.transaction(durable=False) as connection:
            connection.execute("INSERT OR REPLACE INTO tree_digest VALUES (?,?,?)",
                               (tree, selector, json.dumps(parts)))  # fmt: skip

    def forget_trees(self) -> None:
        """Drop all remembered digests."""
        with self._database.transaction(durable=False) as connection:
            connection.execute("DELETE FROM tree_digest")

    def clean_work(self) -> None:
        """Remove what interrupted builds left; only while no build is under way."""
        for left in self.work.iterdir():
            remove_tree(left)


def _open(path: Path) -> Database:
    """Open the database, starting afresh if it is damaged: it holds nothing irreplaceable."""
    if not _is_database(path):
        _remove(path)
    try:
        return Database(path)
    except sqlite3.DatabaseError:
        _remove(path)
        return Database(path)


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(len(_SIGNATURE))
    except FileNotFoundError:
        return False
    return head in (b"", _SIGNATURE)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _record(row: Row) -> Record:
    key, parent, description, diff_id, chain_id, size, created, created_ns, used_ns, uses = row
    layer = Layer(Digest(diff_id), chain_id, size) if chain_id else None
    return Record(Digest(key), parent, description, Outcome(layer), created, created_ns, used_ns,
                  uses)  # fmt: skip
