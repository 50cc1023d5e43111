import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tiffin.distribution.storage.filesystem import FilesystemDriver
from tiffin.distribution.storage.s3 import S3Driver, contiguous, piece_length, piece_lengths
from tiffin.distribution.storage.s3_client import S3Client, S3Error
from tiffin.distribution.storage.sigv4 import Keys
from tiffin.errors import InvalidArgument
from tiffin.testing.storage_contract import StorageDriverContract, joined, keys


class TestFilesystem(StorageDriverContract):
    @pytest.fixture
    async def driver(self, tmp_path: Path) -> FilesystemDriver:
        driver = FilesystemDriver(tmp_path / "registry")
        await driver.open()
        return driver

    async def test_what_was_half_written_is_dropped(self, tmp_path: Path) -> None:
        driver = FilesystemDriver(tmp_path)
        await driver.open()
        (tmp_path / "tmp" / "left").write_bytes(b"half")
        await driver.open()
        assert not os.listdir(tmp_path / "tmp")

    async def test_empty_directories_go(self, driver: FilesystemDriver, tmp_path: Path) -> None:
        await driver.put("a/b/c/d", b"")
        await driver.delete("a/b/c/d")
        assert not os.listdir(tmp_path / "registry" / "data")

    async def test_a_reader_is_not_disturbed(self, driver: FilesystemDriver) -> None:
        await driver.put("a", b"x" * 3_000_000)
        reading = driver.read("a", 0, 3_000_000)
        begun = await anext(reading)
        await driver.delete("a")
        assert len(begun + await joined(reading)) == 3_000_000

    async def test_puts_and_deletes_at_once(self, driver: FilesystemDriver) -> None:
        async def churn(number: int) -> None:
            for _ in range(20):
                await driver.put(f"a/b/{number}", b"x")
                await driver.delete(f"a/b/{number}")

        await asyncio.gather(*map(churn, range(8)))
        assert await keys(driver, "") == []

    async def test_a_full_disk_leaves_the_upload_as_it_was(
        self, driver: FilesystemDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        upload = await driver.begin("one")
        await upload.append(b"good")

        def full(fd: int, data: memoryview) -> None:
            os.write(fd, data[:3])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tiffin.fs.atomic.write_all", full)
        with pytest.raises(OSError, match="No space"):
            await upload.append(b"too much")
        with pytest.raises(OSError, match="No space"):
            await driver.put("record", b"data")
        assert (tmp_path / "registry" / "uploads" / "one").read_bytes() == b"good"
        assert not os.listdir(tmp_path / "registry" / "tmp")


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """A real S3-compatible server (moto) on a free port."""
    from moto.server import ThreadedMotoServer  # dear to import

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client(endpoint: str, bucket: str) -> S3Client:
    return S3Client(bucket, Keys("key", "secret", "us-east-1"), endpoint=endpoint)


class TestS3(StorageDriverContract):
    @pytest.fixture
    async def driver(
        self, s3_endpoint: str, request: pytest.FixtureRequest
    ) -> AsyncIterator[S3Driver]:
        bucket = f"bucket-{time.time_ns()}"
        creator = client(s3_endpoint, bucket)
        await creator.open()
        await creator._call("PUT", "")
        await creator.close()
        driver = S3Driver(client(s3_endpoint, bucket), "some/prefix")
        await driver.open()
        yield driver
        await driver.close()

    async def test_a_missing_bucket_is_told(self, s3_endpoint: str) -> None:
        with pytest.raises(InvalidArgument, match="cannot use the bucket"):
            await S3Driver(client(s3_endpoint, "missing")).open()

    async def test_more_objects_than_a_page_lists(
        self, driver: S3Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tiffin.distribution.storage.s3_client._PAGE", 10)
        numbers = [f"n/{number:02}" for number in range(35)]
        await asyncio.gather(*(driver.put(key, b"") for key in numbers))
        assert await keys(driver, "n/") == numbers
        assert await keys(driver, "n/", after="n/12") == numbers[13:]

    async def test_an_unreachable_store(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tiffin.distribution.storage.s3_client._PAUSE_S", 0.0)
        unreachable = client("http://127.0.0.1:1", "bucket")
        await unreachable.open()
        with pytest.raises(S3Error, match=r"127\.0\.0\.1:1"):
            await unreachable.get("key")
        await unreachable.close()


def test_pieces() -> None:
    assert contiguous([(0, 5), (5, 5), (12, 3)]) == [5, 5]
    assert contiguous([(5, 5)]) == []
    assert sum(piece_lengths(100_000_000)) == 100_000_000
    assert all(
        length == piece_length(number)
        for number, length in enumerate(piece_lengths(100_000_000)[:-1], 1)
    )
    # The longest object that S3 takes fits into the parts that it allows.
    assert len(piece_lengths(5 * 2**40)) < 10_000
