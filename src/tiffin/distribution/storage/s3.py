"""Objects in an S3-compatible bucket.

```
<prefix>/data/<key>                  the objects
<prefix>/uploads/<id>/begun          empty: the upload exists
<prefix>/uploads/<id>/<16 hex>       a piece of an upload, named by its offset
```
A piece is an object of its own, so that an upload can be read, resumed and shared by servers. When it
is published, the store itself puts the pieces together (`UploadPartCopy`): nothing is sent twice. All
pieces but the last are at least as long as S3 wants parts to be; the last one, if short, is sent
again as it grows.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from tiffin.distribution.storage.driver import ObjectInfo, UploadInfo
from tiffin.distribution.storage.s3_client import S3Client, S3Error
from tiffin.errors import InvalidArgument, NotFound

PIECE = 8 << 20
_GROWTH = 1000
"""After so many pieces they become four times as long: S3 allows 10,000 parts."""
_AT_ONCE = 8
_BEGUN = "begun"


class S3Driver:
    """The objects below a prefix of a bucket; see `storage.driver.StorageDriver`."""

    def __init__(self, client: S3Client, prefix: str = "") -> None:
        self._client = client
        root = f"{prefix}/" if prefix else ""
        self._data = f"{root}data/"
        self._uploads = f"{root}uploads/"

    async def open(self) -> None:
        """Connect; InvalidArgument if there is no such bucket or we may not use it."""
        await self._client.open()
        try:
            await self._client.check()
        except (NotFound, S3Error) as error:
            await self._client.close()
            raise InvalidArgument(f"cannot use the bucket: {error}") from error

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()

    async def check(self) -> None:
        """Return if the bucket answers; OSError."""
        try:
            await self._client.check()
        except NotFound as error:
            raise S3Error(str(error)) from error

    async def get(self, key: str) -> bytes:
        """Return a small object whole; NotFound."""
        return await self._client.get(self._data + key)

    async def put(self, key: str, data: bytes) -> None:
        """Create or replace a small object."""
        await self._client.put(self._data + key, data)

    async def stat(self, key: str) -> ObjectInfo:
        """Describe an object; NotFound."""
        found = await self._client.head(self._data + key)
        return ObjectInfo(key, found.size, found.modified_at)

    async def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        await self._client.delete(self._data + key)

    async def touch(self, key: str) -> None:
        """Set the object's time to now; NotFound."""
        await self._client.copy(self._data + key, self._data + key)

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[ObjectInfo]:
        """Yield the objects below `prefix` in the order of their keys."""
        start = self._data + after if after else ""
        async for found in self._client.list(self._data + prefix, start):
            key = found.key.removeprefix(self._data)
            yield ObjectInfo(key, found.size, found.modified_at)

    def path(self, key: str) -> Path | None:
        """Return None: there are no files."""
        del key
        return None

    def read(self, key: str, first: int, length: int) -> AsyncIterator[bytes]:
        """Yield a part of an object; NotFound."""
        return self._client.stream(self._data + key, first, length)

    async def begin(self, identifier: str) -> "S3Upload":
        """Begin an upload."""
        root = f"{self._uploads}{identifier}/"
        await self._client.put(root + _BEGUN, b"")
        return S3Upload(self._client, root, self._data, [])

    async def resume(self, identifier: str) -> "S3Upload":
        """Take an upload up again; NotFound."""
        root = f"{self._uploads}{identifier}/"
        found = [(o.key.removeprefix(root), o.size) async for o in self._client.list(root)]
        if not found:
            raise NotFound(f"upload {identifier} does not exist")
        sizes = [(int(name, 16), size) for name, size in found if name != _BEGUN]
        return S3Upload(self._client, root, self._data, contiguous(sizes))

    async def uploads(self) -> AsyncIterator[UploadInfo]:
        """Yield the uploads under way."""
        newest: dict[str, float] = {}
        async for found in self._client.list(self._uploads):
            identifier = found.key.removeprefix(self._uploads).partition("/")[0]
            newest[identifier] = max(found.modified_at, newest.get(identifier, 0.0))
        for identifier, modified_at in newest.items():
            yield UploadInfo(identifier, modified_at)

    async def adopt(self, file: Path, key: str) -> None:
        """Send a local file."""
        size = file.stat().st_size
        if size <= PIECE:
            await self.put(key, await asyncio.to_thread(file.read_bytes))
            return
        lengths = piece_lengths(size)

        async def send(upload: str, number: int) -> str:
            offset = sum(lengths[: number - 1])
            data = await asyncio.to_thread(_read_at, file, offset, lengths[number - 1])
            return await self._client.put_part(self._data + key, upload, number, data)

        await _assemble(self._client, self._data + key, len(lengths), send)


class S3Upload:
    """An upload in pieces; see `storage.driver.Upload`. `pieces` are the lengths of what is stored."""

    def __init__(self, client: S3Client, root: str, data: str, pieces: list[int]) -> None:
        self._client = client
        self._root = root
        self._data = data
        self._pieces = pieces
        self._stored = sum(pieces)
        self._tail = bytearray()
        self._sending: asyncio.Task[None] | None = None

    @property
    def offset(self) -> int:
        """Bytes appended so far."""
        return self._stored + len(self._tail)

    async def append(self, data: bytes | bytearray) -> None:
        """Add `data`; it is sent when a piece is full."""
        if not self._tail and self._pieces and self._pieces[-1] < piece_length(len(self._pieces)):
            await self._reopen_last()
        self._tail += data
        while len(self._tail) >= (length := piece_length(len(self._pieces) + 1)):
            piece, self._tail = self._tail[:length], self._tail[length:]
            await self._settle()
            key = self._key(self._stored)
            self._pieces.append(length)
            self._stored += length
            self._sending = asyncio.create_task(self._client.put(key, piece))

    async def flush(self) -> None:
        """Send what is held back."""
        await self._settle()
        if self._tail:
            await self._client.put(self._key(self._stored), self._tail)
            self._pieces.append(len(self._tail))
            self._stored += len(self._tail)
            self._tail = bytearray()

    async def read(self) -> AsyncIterator[bytes]:
        """Yield what was flushed."""
        offset = 0
        for length in list(self._pieces):
            async for data in self._client.stream(self._key(offset), 0, length):
                yield data
            offset += length

    async def publish(self, key: str) -> None:
        """Let the store put the pieces together."""
        target = self._data + key
        await self._settle()
        if not self._pieces:
            await self._client.put(target, self._tail)
        else:
            await self.flush()
            keys = self._keys()
            if len(keys) == 1:
                await self._client.copy(keys[0], target)
            else:
                await _assemble(
                    self._client, target, len(keys),
                    lambda upload, number: self._client.copy_part(
                        target, upload, number, keys[number - 1]
                    ),
                )  # fmt: skip
        await self.discard()

    async def discard(self) -> None:
        """Remove the pieces."""
        if self._sending is not None:
            await asyncio.gather(self._sending, return_exceptions=True)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def delete(key: str) -> None:
            async with gate:
                await self._client.delete(key)

        await asyncio.gather(*map(delete, self._keys()))
        await self._client.delete(self._root + _BEGUN)

    async def _reopen_last(self) -> None:
        await self._settle()
        length = self._pieces.pop()
        self._stored -= length
        self._tail = bytearray(await self._client.get(self._key(self._stored)))

    async def _settle(self) -> None:
        if self._sending is not None:
            sending, self._sending = self._sending, None
            await sending

    def _keys(self) -> list[str]:
        offsets = [sum(self._pieces[:n]) for n in range(len(self._pieces))]
        return [self._key(offset) for offset in offsets]

    def _key(self, offset: int) -> str:
        return f"{self._root}{offset:016x}"


def piece_length(number: int) -> int:
    """Return how long the piece `number` (from 1) is, unless it is the last."""
    return PIECE << (2 * ((max(number, 1) - 1) // _GROWTH))


def piece_lengths(size: int) -> list[int]:
    """Return the lengths of the pieces of `size` bytes."""
    lengths: list[int] = []
    while size:
        lengths.append(min(size, piece_length(len(lengths) + 1)))
        size -= lengths[-1]
    return lengths


def contiguous(pieces: list[tuple[int, int]]) -> list[int]:
    """Return the lengths of pieces (offset, length) up to the first gap.

    A piece that a server died over leaves none; what was sent at once with it may lie behind.
    """
    lengths: list[int] = []
    expected = 0
    for offset, length in sorted(pieces):
        if offset != expected:
            break
        lengths.append(length)
        expected += length
    return lengths


async def _assemble(
    client: S3Client, key: str, count: int, part: Callable[[str, int], Awaitable[str]]
) -> None:
    """Make an object of `count` parts, a few at once; nothing is left behind where that fails."""
    upload = await client.begin_multipart(key)
    gate = asyncio.Semaphore(_AT_ONCE)

    async def make(number: int) -> str:
        async with gate:
            return await part(upload, number)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(make(number)) for number in range(1, count + 1)]
        await client.finish_multipart(key, upload, [task.result() for task in tasks])
    except BaseExceptionGroup as error:
        await client.abort_multipart(key, upload)
        raise error.exceptions[0] from error
    except BaseException:
        await client.abort_multipart(key, upload)
        raise


def _read_at(file: Path, offset: int, length: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(offset)
        return opened.read(length)
