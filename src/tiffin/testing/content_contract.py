# ruff: noqa: D102  # the name of a test says what it shows
"""What every content store must do; subclass it and give a `store` fixture."""

import pytest

from tiffin.content.store import ContentStore
from tiffin.errors import AlreadyExists, Conflict, DataLoss, InvalidArgument, NotFound
from tiffin.spec.digest import Digest, digest_bytes

DATA = b"some bytes" * 1000
DIGEST = digest_bytes(DATA)
SHA512 = Digest(
    "sha512:ee26b0dd4af7e749aa1a8ee3c10ae9923f618980772e473f8819a5d4940e0db2"
    "7ac185f8a0e1d5f84f88bc887fd67b143732c304cc5fa9ad8e6f57f50028a8ff"
)


def put(store: ContentStore, data: bytes = DATA, ref: str = "ref") -> Digest:
    """Write one blob."""
    with store.writer(ref) as writer:
        writer.write(data)
        return writer.commit().digest


class ContentStoreContract:
    """The suite."""

    def test_what_is_written_can_be_read(self, store: ContentStore) -> None:
        with store.writer("a layer: with / odd ref") as writer:
            assert writer.offset == 0
            assert writer.write(DATA[:10]) == 10
            writer.write(memoryview(DATA)[10:])
            assert writer.offset == len(DATA)
            info = writer.commit(expected=DIGEST, size=len(DATA))
        assert info == store.info(DIGEST)
        assert (info.digest, info.size) == (DIGEST, len(DATA))
        with store.open(DIGEST) as blob:
            assert blob.read() == DATA
            blob.seek(5)
            assert blob.read(5) == DATA[5:10]

    def test_an_empty_blob_is_a_blob(self, store: ContentStore) -> None:
        assert store.info(put(store, b"")).size == 0

    def test_other_algorithms(self, store: ContentStore) -> None:
        with store.writer("ref") as writer:
            writer.write(b"test")
            assert writer.commit(expected=SHA512).digest == SHA512
        assert [info.digest for info in store.walk()] == [SHA512]

    def test_missing_blobs(self, store: ContentStore) -> None:
        for call in (store.info, store.open, store.delete):
            with pytest.raises(NotFound, match=DIGEST):
                call(DIGEST)
        with pytest.raises(InvalidArgument):
            store.open(Digest("sha256:../../../etc/passwd"))

    def test_walk_and_delete(self, store: ContentStore) -> None:
        digests = {put(store, bytes([number])) for number in range(3)}
        assert {info.digest for info in store.walk()} == digests
        gone = digests.pop()
        store.delete(gone)
        assert {info.digest for info in store.walk()} == digests

    def test_wrong_digest_or_size_is_data_loss_and_forgets(self, store: ContentStore) -> None:
        for kwargs in ({"expected": digest_bytes(b"")}, {"size": 1}):
            with store.writer("ref") as writer:
                writer.write(DATA)
                with pytest.raises(DataLoss):
                    writer.commit(**kwargs)
            assert not list(store.walk())
        with store.writer("ref") as writer:
            assert writer.offset == 0

    def test_a_blob_that_exists(self, store: ContentStore) -> None:
        put(store)
        with store.writer("other") as writer:
            writer.write(DATA)
            with pytest.raises(AlreadyExists):
                writer.commit(expected=DIGEST)
        with store.open(DIGEST) as blob:
            assert blob.read() == DATA

    def test_an_interrupted_ingest_goes_on(self, store: ContentStore) -> None:
        with store.writer("ref") as writer:
            writer.write(DATA[:100])
        with store.writer("ref") as writer:
            assert writer.offset == 100
            writer.write(DATA[100:])
            writer.commit(expected=DIGEST)

    def test_abort_forgets(self, store: ContentStore) -> None:
        with store.writer("ref") as writer:
            writer.write(DATA)
            writer.abort()
        with store.writer("ref") as writer:
            assert writer.offset == 0

    def test_one_writer_at_a_time(self, store: ContentStore) -> None:
        with store.writer("ref"):
            with pytest.raises(Conflict, match="locked"):
                store.writer("ref")
            with store.writer("another"):
                pass
        with store.writer("ref"):
            pass
