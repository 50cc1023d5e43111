"""The table of volumes."""

import json
from typing import NamedTuple

from tiffin.state.database import Database
from tiffin.state.retired import Retired, RetiredRecords

VOLUME = "volume"
"""Kind of what can be restored."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS volumes (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, driver TEXT NOT NULL,
        options TEXT NOT NULL, labels TEXT NOT NULL, created_at TEXT NOT NULL
    ) WITHOUT ROWID""",
)


class VolumeRow(NamedTuple):
    """One volume; `created_at` is RFC 3339."""

    id: str
    name: str
    driver: str
    options: dict[str, str]
    labels: dict[str, str]
    created_at: str


class VolumeRows:
    """Reads and durably writes volumes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._retired = RetiredRecords(database)
        database.ensure(_SCHEMA)

    def all(self) -> list[VolumeRow]:
        """Return every volume."""
        rows = self._database.query(
            "SELECT id, name, driver, options, labels, created_at FROM volumes ORDER BY name"
        )
        return [
            VolumeRow(identifier, name, driver, json.loads(options), json.loads(labels), created)
            for identifier, name, driver, options, labels, created in rows
        ]

    def insert(self, row: VolumeRow) -> None:
        """Add a volume; its id and name must be new."""
        options, labels = (json.dumps(each, sort_keys=True) for each in (row.options, row.labels))
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO volumes VALUES (?, ?, ?, ?, ?, ?)",
                (row.id, row.name, row.driver, options, labels, row.created_at),
            )

    def retire(self, row: VolumeRow, operation: int, size: int) -> None:
        """Move a volume among what can be restored, durably."""
        with self._database.transaction(frees=True):
            written = json.dumps(row._asdict()).encode()
            self._retired.add(Retired(operation, VOLUME, row.id, (row.name,), size, written))
            self.delete(row.id)

    def restore(self, item: Retired) -> None:
        """Bring a volume back, durably; its name must be free."""
        with self._database.transaction():
            self.insert(retired_volume(item))
            self._retired.remove(item)

    def forget_retired(self, item: Retired) -> None:
        """Drop a volume that could have been restored."""
        self._retired.remove(item)

    def retired(self) -> list[VolumeRow]:
        """Return the volumes that can be restored."""
        return [retired_volume(item) for item in self._retired.all((VOLUME,))]

    def delete(self, identifier: str) -> None:
        """Forget a volume; nothing if it does not exist."""
        with self._database.transaction(frees=True) as connection:
            connection.execute("DELETE FROM volumes WHERE id = ?", (identifier,))


def retired_volume(item: Retired) -> VolumeRow:
    """Return the row that a volume had."""
    return VolumeRow(**json.loads(item.record))
