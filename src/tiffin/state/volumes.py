"""The table of volumes."""

import json
from typing import NamedTuple

from tiffin.state.database import Database

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

    def delete(self, identifier: str) -> None:
        """Forget a volume; nothing if it does not exist."""
        with self._database.transaction(frees=True) as connection:
            connection.execute("DELETE FROM volumes WHERE id = ?", (identifier,))
