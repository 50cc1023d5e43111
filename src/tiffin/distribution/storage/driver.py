"""The storage contract: objects by key, and uploads that become objects.

A *key* is a relative path of plain components, e.g. `blobs/sha256/ab/abcd…`. An object appears whole
and durable or not at all; a reader that has begun is not disturbed by its removal. Objects are small
(records) or large (blobs); large ones come in through an *upload*, which survives its writer and
the server's end, so that it can be resumed, and becomes an object by `publish`.

Every method may raise OSError where the disk or the network fails.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object; `size` in bytes, `modified_at` in seconds since the epoch."""

    key: str
    size: int
    modified_at: float


@dataclass(frozen=True, slots=True)
class UploadInfo:
    """An upload that has not become an object; `modified_at` as in `ObjectInfo`."""

    identifier: str
    modified_at: float


class Upload(Protocol):
    """Bytes on their way to become an object. One writer at a time; the caller sees to that."""

    @property
    def offset(self) -> int:
        """Bytes appended so far."""

    async def append(self, data: bytes | bytearray) -> None:
        """Add `data` at the end."""

    async def flush(self) -> None:
        """Let all that was appended be found by a later `resume`."""

    def read(self) -> AsyncIterator[bytes]:
        """Yield all that was appended and flushed, from the beginning."""

    async def publish(self, key: str) -> None:
        """Make the bytes the object `key`, durably; the upload is gone then."""

    async def discard(self) -> None:
        """Forget the upload and its bytes."""


class StorageDriver(Protocol):
    """Objects by key."""

    async def open(self) -> None:
        """Get ready: directories, connections. TiffinError says why it cannot be."""

    async def close(self) -> None:
        """Let go of connections."""

    async def check(self) -> None:
        """Return if the storage answers; OSError."""

    async def get(self, key: str) -> bytes:
        """Return a small object whole; NotFound."""

    async def put(self, key: str, data: bytes) -> None:
        """Create or replace a small object, atomically and durably."""

    async def stat(self, key: str) -> ObjectInfo:
        """Describe an object; NotFound."""

    async def delete(self, key: str) -> None:
        """Remove an object, if there is one."""

    async def touch(self, key: str) -> None:
        """Set the object's time to now; NotFound."""

    def list(self, prefix: str, *, after: str = "") -> AsyncIterator[ObjectInfo]:
        """Yield the objects whose keys begin with `prefix` (a directory's, with its `/`).

        They come in the order of their keys' bytes, those greater than the key `after` only.
        """

    def path(self, key: str) -> Path | None:
        """Return the local file that an object is or would be, None where there are no files."""

    def read(self, key: str, first: int, length: int) -> AsyncIterator[bytes]:
        """Yield a part of an object; NotFound before the first chunk."""

    async def begin(self, identifier: str) -> Upload:
        """Begin an upload (a word of letters, digits and hyphens)."""

    async def resume(self, identifier: str) -> Upload:
        """Take an upload up again; NotFound."""

    def uploads(self) -> AsyncIterator[UploadInfo]:
        """Yield the uploads that have neither been published nor discarded, in no order."""

    async def adopt(self, file: Path, key: str) -> None:
        """Make a local file the object `key`, durably; the file may be gone then."""
