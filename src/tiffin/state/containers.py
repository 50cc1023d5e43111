"""The table of containers: what was asked for (spec) and what last became of it (instance).

Both are opaque JSON here; their shapes belong to the engine.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from tiffin.state.database import Database
from tiffin.state.retired import Retired, RetiredRecords

CONTAINER = "container"
"""Kind of what can be restored."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS containers (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        spec BLOB NOT NULL,
        instance BLOB NOT NULL
    ) WITHOUT ROWID""",
)


@dataclass(frozen=True, slots=True)
class ContainerRecord:
    """One row."""

    id: str
    name: str
    spec: bytes
    instance: bytes


class ContainerRecords:
    """Reads and writes the table; blocking, thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._retired = RetiredRecords(database)
        database.ensure(_SCHEMA)

    def write(
        self, records: Iterable[ContainerRecord], removed: Iterable[str] = (), *, durable: bool
    ) -> None:
        """Insert or replace `records` and delete the ids `removed`, in one transaction."""
        with self._database.transaction(durable=durable, frees=bool(removed)) as connection:
            connection.executemany(
                "INSERT INTO containers (id, name, spec, instance) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET name = excluded.name, spec = excluded.spec, "
                "instance = excluded.instance",
                [(r.id, r.name, r.spec, r.instance) for r in records],
            )
            connection.executemany(
                "DELETE FROM containers WHERE id = ?", [(item,) for item in removed]
            )

    def retire(self, record: ContainerRecord, operation: int, size: int) -> None:
        """Move a container among what can be restored, durably."""
        written = msgspec.json.encode(record)
        with self._database.transaction(frees=True):
            self._retired.add(
                Retired(operation, CONTAINER, record.id, (record.name,), size, written)
            )
            self.write([], [record.id], durable=True)

    def restore(self, item: Retired) -> None:
        """Bring a container back, durably."""
        with self._database.transaction():
            self.write([retired_container(item)], durable=True)
            self._retired.remove(item)

    def forget_retired(self, item: Retired) -> None:
        """Drop a container that could have been restored."""
        self._retired.remove(item)

    def retired(self) -> list[ContainerRecord]:
        """Return the containers that can be restored."""
        return [retired_container(item) for item in self._retired.all((CONTAINER,))]

    def all(self) -> list[ContainerRecord]:
        """Return every row."""
        rows = self._database.query("SELECT id, name, spec, instance FROM containers")
        return [ContainerRecord(*row) for row in rows]


def retired_container(item: Retired) -> ContainerRecord:
    """Return the row that a container had."""
    return msgspec.json.decode(item.record, type=ContainerRecord)
