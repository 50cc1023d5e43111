# ruff: noqa: D102  # the name of a test says what it shows
"""What every storage driver of a registry must do; subclass it and give a `driver` fixture."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiffin.distribution.storage.driver import StorageDriver
from tiffin.errors import NotFound

LARGE = os.urandom(1 << 20) * 17
"""Longer than two pieces of an upload to an object store."""


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    """Return all that is yielded."""
    return b"".join([chunk async for chunk in chunks])


async def keys(driver: StorageDriver, prefix: str, after: str = "") -> list[str]:
    """Return the keys that are listed."""
    return [info.key async for info in driver.list(prefix, after=after)]


class StorageDriverContract:
    """The suite."""

    async def test_what_is_put_can_be_had(self, driver: StorageDriver) -> None:
        before = time.time() - 2
        await driver.put("a/b/one", b"first")
        await driver.put("a/b/one", b"second")
        await driver.put("a/b/~odd_.-name", b"")
        assert await driver.get("a/b/one") == b"second"
        assert await driver.get("a/b/~odd_.-name") == b""
        info = await driver.stat("a/b/one")
        assert (info.key, info.size) == ("a/b/one", 6)
        assert before < info.modified_at < time.time() + 2
        await driver.check()

    async def test_what_is_missing(self, driver: StorageDriver) -> None:
        await driver.put("a/b", b"x")
        for key in ("a", "a/c", "a/b/c"):
            for call in (driver.get, driver.stat, driver.touch):
                with pytest.raises(NotFound):
                    await call(key)
            with pytest.raises(NotFound):
                await joined(driver.read(key, 0, 1))
            await driver.delete(key)
        with pytest.raises(NotFound):
            await driver.resume("never-begun")
        assert await driver.get("a/b") == b"x"

    async def test_deleted_objects_are_gone(self, driver: StorageDriver) -> None:
        await driver.put("a/b/c/one", b"x")
        await driver.put("a/b/two", b"x")
        await driver.delete("a/b/c/one")
        assert await keys(driver, "a/") == ["a/b/two"]
        await driver.put("a/b/c/one", b"again")
        assert await driver.get("a/b/c/one") == b"again"

    async def test_listing_is_sorted_by_bytes(self, driver: StorageDriver) -> None:
        names = ["x/a", "x/a-b", "x/a/b", "x/a.b", "x/B", "x/b/c", "x/b/c2", "x/_", "xy/a"]
        for name in names:
            await driver.put(name + "/leaf", b"")
        expected = sorted(name + "/leaf" for name in names if name.startswith("x/"))
        assert await keys(driver, "x/") == expected
        for position, key in enumerate(expected):
            assert await keys(driver, "x/", after=key) == expected[position + 1 :]
        assert await keys(driver, "x/", after="x/a0") == [k for k in expected if k > "x/a0"]
        assert await keys(driver, "nothing/") == []

    async def test_touching_renews(self, driver: StorageDriver) -> None:
        await driver.put("a", b"data")
        await driver.touch("a")
        assert abs((await driver.stat("a")).modified_at - time.time()) < 2
        assert await driver.get("a") == b"data"

    async def test_parts_of_an_object(self, driver: StorageDriver) -> None:
        await driver.put("a", bytes(range(100)))
        for first, length in ((0, 100), (0, 1), (99, 1), (10, 50)):
            assert (
                await joined(driver.read("a", first, length))
                == bytes(range(100))[first : first + length]
            )

    async def test_an_upload_becomes_an_object(self, driver: StorageDriver) -> None:
        upload = await driver.begin("one")
        await upload.append(b"some ")
        await upload.append(bytearray(b"bytes"))
        assert upload.offset == 10
        assert await keys(driver, "") == []
        await upload.publish("blobs/one")
        assert await driver.get("blobs/one") == b"some bytes"
        assert [u async for u in driver.uploads()] == []

    async def test_an_empty_upload(self, driver: StorageDriver) -> None:
        await (await driver.begin("one")).publish("empty")
        assert (await driver.stat("empty")).size == 0

    async def test_a_large_upload_in_odd_pieces(self, driver: StorageDriver) -> None:
        upload = await driver.begin("one")
        for start in range(0, len(LARGE), 1_234_567):
            await upload.append(LARGE[start : start + 1_234_567])
        await upload.flush()
        assert await joined(upload.read()) == LARGE
        await upload.publish("large")
        assert await joined(driver.read("large", 0, len(LARGE))) == LARGE
        assert await joined(driver.read("large", 9_000_000, 1000)) == LARGE[9_000_000:9_001_000]
        assert [u async for u in driver.uploads()] == []

    async def test_an_upload_is_resumed(self, driver: StorageDriver) -> None:
        upload = await driver.begin("one")
        await upload.append(LARGE[:100])
        await upload.flush()
        again = await driver.resume("one")
        assert again.offset == 100
        await again.append(LARGE[100:9_000_000])
        await again.flush()
        third = await driver.resume("one")
        assert third.offset == 9_000_000
        await third.append(LARGE[9_000_000:])
        assert [u.identifier async for u in driver.uploads()] == ["one"]
        await third.publish("large")
        assert await joined(driver.read("large", 0, len(LARGE))) == LARGE

    async def test_a_discarded_upload_is_gone(self, driver: StorageDriver) -> None:
        upload = await driver.begin("one")
        await upload.append(LARGE[: 9 << 20])
        await upload.flush()
        await upload.discard()
        assert [u async for u in driver.uploads()] == []
        with pytest.raises(NotFound):
            await driver.resume("one")

    @pytest.mark.parametrize("size", [0, 1000, len(LARGE)])
    async def test_a_file_is_adopted(
        self, driver: StorageDriver, tmp_path: Path, size: int
    ) -> None:
        file = tmp_path / "file"
        file.write_bytes(LARGE[:size])
        await driver.adopt(file, "adopted")
        assert (await driver.stat("adopted")).size == size
        if size:
            assert await joined(driver.read("adopted", 0, size)) == LARGE[:size]
