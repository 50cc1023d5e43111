"""Objects as files below a directory.

```
<root>/data/<key>         the objects
<root>/uploads/<id>       uploads: their bytes so far
<root>/tmp/               what is being written; emptied at the start
```
An object appears by rename, once its bytes are on the disk; its directory is synced after that.
Small reads and look-ups are made in place, everything that syncs or moves bytes in threads.
"""

import asyncio
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from tiffin.distribution.storage.driver import ObjectInfo, UploadInfo
from tiffin.errors import NotFound
from tiffin.fs import atomic

_CHUNK = 1 << 20
_PAGE = 1000
# A key may be asked for that is a directory of others, or below what is an object.
_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class FilesystemDriver:
    """The objects below `root`, which is created; see `storage.driver.StorageDriver`."""

    def __init__(self, root: Path) -> None:
        self._data = root / "data"
        self._prefix = f"{root}/data/"  # look-ups are many, and Path is slow
        self._uploads = root / "uploads"
        self._tmp = root / "tmp"

    async def open(self) -> None:
        """Make the directories and drop what was half written."""
        for directory in (self._data, self._uploads, self._tmp):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in os.listdir(self._tmp):
            (self._tmp / name).unlink()

    async def close(self) -> None:
        """Nothing is held."""

    async def check(self) -> None:
        """Return if the directory is there; OSError."""
        os.stat(self._data)

    async def get(self, key: str) -> bytes:
        """Return a small object whole; NotFound."""
        try:
            return self._file(key).read_bytes()
        except _ABSENT:
            raise _missing(key) from None

    async def put(self, key: str, data: bytes) -> None:
        """Create or replace a small object, atomically and durably."""
        await asyncio.to_thread(self._put, key, data)

    async def stat(self, key: str) -> ObjectInfo:
        """Describe an object; NotFound."""
        try:
            status = os.stat(f"{self._prefix}{key}")
        except _ABSENT:
            raise _missing(key) from None
        if not stat.S_ISREG(status.st_mode):
            raise _missing(key)
        return ObjectInfo(key, status.st_size, status.st_mtime)

    async def delete(self, key: str) -> None:
        """Remove an object and the directories that it leaves empty."""
        await asyncio.to_thread(self._delete, key)

    async def touch(self, key: str) -> None:
        """Set the object's time to now; NotFound."""
        await self.stat(key)
        try:
            os.utime(self._file(key))
        except _ABSENT:
            raise _missing(key) from None

    async def list(self, prefix: str, *, after: str = "") -> AsyncIterator[ObjectInfo]:
        """Yield the objects below `prefix` in the order of their keys."""
        found = self._walk(prefix, after)
        while page := await asyncio.to_thread(lambda: list(islice(found, _PAGE))):
            for info in page:
                yield info

    def path(self, key: str) -> Path | None:
        """Return the file that the object is."""
        return self._file(key)

    async def read(self, key: str, first: int, length: int) -> AsyncIterator[bytes]:
        """Yield a part of an object; NotFound."""
        try:
            file = self._file(key).open("rb", buffering=0)
        except _ABSENT:
            raise _missing(key) from None
        with file:
            file.seek(first)
            while length > 0 and (data := await asyncio.to_thread(file.read, min(_CHUNK, length))):
                length -= len(data)
                yield data

    async def begin(self, identifier: str) -> "FileUpload":
        """Begin an upload."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(self._uploads / identifier, flags, 0o600))
        return FileUpload(self._uploads / identifier, 0, self._publish)

    async def resume(self, identifier: str) -> "FileUpload":
        """Take an upload up again; NotFound."""
        file = self._uploads / identifier
        try:
            size = file.stat().st_size
        except (FileNotFoundError, OSError):
            raise NotFound(f"upload {identifier} does not exist") from None
        return FileUpload(file, size, self._publish)

    async def uploads(self) -> AsyncIterator[UploadInfo]:
        """Yield the uploads under way."""
        for name in await asyncio.to_thread(os.listdir, self._uploads):
            with suppress(FileNotFoundError):
                yield UploadInfo(name, os.stat(self._uploads / name).st_mtime)

    async def adopt(self, file: Path, key: str) -> None:
        """Move a file of the same file system here."""
        await asyncio.to_thread(self._sync_and_publish, file, key)

    def _file(self, key: str) -> Path:
        return self._data / key

    def _put(self, key: str, data: bytes) -> None:
        temporary = self._tmp / secrets.token_hex(8)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                atomic.write_all(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            self._publish(temporary, key)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _sync_and_publish(self, file: Path, key: str) -> None:
        _sync(file)
        self._publish(file, key)

    def _publish(self, file: Path, key: str) -> None:
        """Rename a synced file to its key, which `_delete` may be taking the directory from."""
        target = self._file(key)
        for _ in range(10):
            _make_directories(target.parent)
            with suppress(FileNotFoundError):
                file.rename(target)
                atomic.sync_directory(target.parent)
                return
        raise FileNotFoundError(f"{target.parent} vanishes again and again")

    def _delete(self, key: str) -> None:
        target = self._file(key)
        with suppress(*_ABSENT):
            target.unlink()
        parent = target.parent
        with suppress(OSError):  # not empty, or gone already: both are as they should be
            while parent != self._data:
                parent.rmdir()
                parent = parent.parent

    def _walk(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(self._data / prefix) as scan:
                entries = [(e.name + "/" if e.is_dir() else e.name, e) for e in scan]
        except _ABSENT:
            return
        for name, entry in sorted(entries, key=lambda pair: pair[0]):
            key = prefix + name
            if name.endswith("/"):
                if key > after or after.startswith(key):
                    yield from self._walk(key, after)
            elif key > after:
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    yield ObjectInfo(key, status.st_size, status.st_mtime)


class FileUpload:
    """An upload that is one file; see `storage.driver.Upload`."""

    def __init__(self, file: Path, offset: int, publish: Callable[[Path, str], None]) -> None:
        self._file = file
        self.offset = offset
        self._publish = publish

    async def append(self, data: bytes | bytearray) -> None:
        """Write `data`; where that fails, nothing of it is kept."""
        await asyncio.to_thread(self.append_now, data)

    def append_now(self, data: bytes | bytearray) -> None:
        """Write `data`, in a thread of the caller's."""
        fd = os.open(self._file, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.lseek(fd, self.offset, os.SEEK_SET)
            try:
                atomic.write_all(fd, memoryview(data))
            except OSError:
                os.ftruncate(fd, self.offset)
                raise
        finally:
            os.close(fd)
        self.offset += len(data)

    async def flush(self) -> None:
        """Nothing is held back."""

    async def read(self) -> AsyncIterator[bytes]:
        """Yield what was appended."""
        with self._file.open("rb", buffering=0) as file:
            while data := await asyncio.to_thread(file.read, _CHUNK):
                yield data

    async def publish(self, key: str) -> None:
        """Make the bytes durable and rename them to `key`."""

        def publish() -> None:
            _sync(self._file)
            self._publish(self._file, key)

        await asyncio.to_thread(publish)

    async def discard(self) -> None:
        """Remove the file."""
        await asyncio.to_thread(self._file.unlink, missing_ok=True)


def _make_directories(directory: Path) -> None:
    """Make a directory and those above it, and their names durable."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return
    except FileNotFoundError:
        _make_directories(directory.parent)
        _make_directories(directory)
        return
    with suppress(FileNotFoundError):  # taken away again; the caller will try once more
        atomic.sync_directory(directory.parent)


def _sync(file: Path) -> None:
    fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(fd, 0o444)
        os.fsync(fd)
    finally:
        os.close(fd)


def _missing(key: str) -> NotFound:
    return NotFound(f"object {key} does not exist")
