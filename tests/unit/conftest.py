"""What every unit test may rely on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.state.database import Database


@pytest.fixture(autouse=True)
def databases_are_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the state files that a test opened: Python 3.13 warns of those that nobody closes."""
    opened: list[Database] = []
    make = Database.__init__

    def recorded(self: Database, path: Path | str) -> None:
        make(self, path)
        opened.append(self)

    monkeypatch.setattr(Database, "__init__", recorded)
    yield
    for database in opened:
        database.close()
