import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest

from tiffin.fs.reserve import SIZE, Reserve, full_disk_told


def test_space_is_kept_until_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db.reserve"
    kept = Reserve(path)
    assert path.stat().st_blocks * 512 >= SIZE
    available = 0
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=available, f_frsize=1))
    kept.open_if_needed()
    assert not path.exists()
    kept.open_if_needed()
    available = 100 * SIZE
    kept.open_if_needed()
    assert path.stat().st_blocks * 512 >= SIZE
    Reserve(path).open_if_needed()
    assert os.listdir(tmp_path) == [path.name]


def test_a_full_database_is_a_full_disk() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("PRAGMA max_page_count = 2")
    connection.execute("CREATE TABLE one (x)")
    told = pytest.raises(OSError, match=r"no space left on device: 'state\.db'")
    with told, full_disk_told("state.db"):
        connection.execute("CREATE TABLE two (x)")
    with pytest.raises(sqlite3.OperationalError), full_disk_told("state.db"):
        connection.execute("no SQL")
    connection.close()
