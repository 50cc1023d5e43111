import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tiffin.content.local import LocalContentStore
from tiffin.content.memory import MemoryContentStore
from tiffin.content.store import ContentStore
from tiffin.errors import Conflict
from tiffin.testing.content_contract import DATA, DIGEST, ContentStoreContract, put


class TestLocal(ContentStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ContentStore:
        return LocalContentStore(tmp_path / "content")

    def test_layout_is_ocis(self, tmp_path: Path) -> None:
        store = LocalContentStore(tmp_path)
        put(store)
        blob = tmp_path / "blobs" / "sha256" / DIGEST.partition(":")[2]
        assert blob.read_bytes() == DATA
        assert blob.stat().st_mode & 0o777 == 0o444
        assert blob.stat().st_nlink == 1
        assert not os.listdir(tmp_path / "ingest")

    def test_an_ingest_survives_its_store(self, tmp_path: Path) -> None:
        with LocalContentStore(tmp_path).writer("ref") as writer:
            writer.write(DATA[:7])
        with LocalContentStore(tmp_path).writer("ref") as writer:
            assert writer.offset == 7
            writer.write(DATA[7:])
            assert writer.commit().digest == DIGEST

    def test_abandoned_ingests_are_dropped_but_not_held_ones(self, tmp_path: Path) -> None:
        store = LocalContentStore(tmp_path)
        with store.writer("old") as writer:
            writer.write(b"x")
        (tmp_path / "ingest" / "half").mkdir()
        later = datetime.now(UTC) + timedelta(hours=1)
        with store.writer("held"):
            assert store.discard_ingests(older_than=datetime.now(UTC) - timedelta(hours=1)) == 0
            assert store.discard_ingests(older_than=later) == 2
            with pytest.raises(Conflict):
                store.writer("held")

    def test_nothing_stays_open(self, tmp_path: Path) -> None:
        before = os.listdir("/proc/self/fd")
        store = LocalContentStore(tmp_path)
        put(store)
        with store.writer("a") as writer:
            writer.write(b"x")
        with store.writer("a"), pytest.raises(Conflict):
            store.writer("a")
        assert os.listdir("/proc/self/fd") == before


class TestMemory(ContentStoreContract):
    @pytest.fixture
    def store(self) -> ContentStore:
        return MemoryContentStore()
