"""The table of containers: what was asked for (spec) and what last became of it (instance).

Both are opaque JSON here; their shapes belong to the engine.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tiffin.state.database import Database

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

    def all(self) -> list[ContainerRecord]:
        """Return every row."""
        rows = self._database.query("SELECT id, name, spec, instance FROM containers")
        return [ContainerRecord(*row) for row in rows]
