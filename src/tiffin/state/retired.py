"""What was removed and can still be brought back.

An object that is *retired* has left its own table and lies here, with its files where they were,
until it is restored or destroyed. Objects that one request removed belong to one *operation*.
"""

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tiffin.state.database import Database, Row

_UNUSED_NS = 3600 * 10**9
"""When an operation that has removed nothing is forgotten."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS operations (
        number INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, at_ns INTEGER NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS retired (
        operation INTEGER NOT NULL REFERENCES operations(number), kind TEXT NOT NULL,
        id TEXT NOT NULL, names TEXT NOT NULL, size INTEGER NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (kind, id, operation)) WITHOUT ROWID""",
)


@dataclass(frozen=True, slots=True)
class Operation:
    """One request that removed things; `what` says which, `at_ns` when (Unix)."""

    number: int
    what: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class Retired:
    """One object. `size` is what destroying it is going to free, bytes; `record` is its owner's."""

    operation: int
    kind: str
    id: str
    names: Sequence[str]
    size: int
    record: bytes


class RetiredRecords:
    """The repository of retired objects. All writes join a transaction that is under way."""

    def __init__(self, database: Database) -> None:
        self._database = database
        database.ensure(_SCHEMA)

    def begin(self, what: str, at_ns: int | None = None) -> Operation:
        """Note a new operation."""
        at_ns = time.time_ns() if at_ns is None else at_ns
        with self._database.transaction(durable=False, frees=True) as connection:
            connection.execute(
                "DELETE FROM operations WHERE at_ns < ? AND number NOT IN "
                "(SELECT operation FROM retired)",
                (at_ns - _UNUSED_NS,),
            )
            cursor = connection.execute(
                "INSERT INTO operations (what, at_ns) VALUES (?, ?)", (what, at_ns)
            )
        return Operation(cursor.lastrowid or 0, what, at_ns)

    def rename(self, number: int, what: str) -> None:
        """Call an operation by another name."""
        with self._database.transaction(durable=False, frees=True) as connection:
            connection.execute("UPDATE operations SET what=? WHERE number=?", (what, number))

    def operations(self) -> list[Operation]:
        """Return the operations of which something is left, the oldest first."""
        rows = self._database.query(
            "SELECT number, what, at_ns FROM operations WHERE number IN "
            "(SELECT operation FROM retired) ORDER BY number"
        )
        return [Operation(*row) for row in rows]

    def add(self, item: Retired) -> None:
        """Take an object in, durably."""
        with self._database.transaction(frees=True) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO retired VALUES (?,?,?,?,?,?)",
                (item.operation, item.kind, item.id, json.dumps(list(item.names)), item.size,
                 item.record),
            )  # fmt: skip

    def all(self, kinds: Collection[str] = ()) -> list[Retired]:
        """Return everything, or what is of these kinds, the oldest operation first."""
        where = f"WHERE kind IN ({','.join('?' * len(kinds))})" if kinds else ""
        rows = self._database.query(
            "SELECT operation, kind, id, names, size, record FROM retired "
            f"{where} ORDER BY operation, kind, id",
            tuple(kinds),
        )
        return [_retired(row) for row in rows]

    def remove(self, item: Retired) -> bool:
        """Let an object go, durably; False if it was not here any more.

        Its operation stays for the while that it may still be removing more.
        """
        with self._database.transaction(frees=True) as connection:
            cursor = connection.execute(
                "DELETE FROM retired WHERE kind=? AND id=? AND operation=?",
                (item.kind, item.id, item.operation),
            )
        return cursor.rowcount > 0


def _retired(row: Row) -> Retired:
    operation, kind, identifier, names, size, record = row
    return Retired(operation, kind, identifier, json.loads(names), size, record)
