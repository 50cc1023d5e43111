"""Blobs on local disk, in the OCI image layout's directory form.

```
<root>/blobs/<algorithm>/<hex>     immutable, 0444
<root>/ingest/<sha256 of ref>/     ref: the text; data: the bytes so far, locked by their writer
```
A blob appears by rename, after its bytes are on disk and match their digest; its directory is
synced before `commit` returns. An ingest survives its writer and the machine; `writer` takes it up.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from tiffin.content.store import BlobInfo, nothing
from tiffin.errors import AlreadyExists, Conflict, DataLoss, NotFound
from tiffin.fs import atomic
from tiffin.fs.locks import try_lock
from tiffin.fs.rooted import remove_tree
from tiffin.spec.digest import Digest, algorithm_of, digest_bytes, hex_of, parse_digest

_CHUNK = 1 << 20
_HEX = re.compile("[0-9a-f]+")


class LocalContentStore:
    """Blobs below `root`, which is created; any number of threads and processes may share it."""

    def __init__(self, root: Path) -> None:
        self._blobs = root / "blobs"
        self._ingests = root / "ingest"
        (self._blobs / "sha256").mkdir(parents=True, exist_ok=True)
        self._ingests.mkdir(exist_ok=True)

    def path(self, digest: Digest) -> Path:
        """Return where the blob is or would be; InvalidArgument for a malformed digest."""
        parse_digest(digest)
        return self._blobs / algorithm_of(digest) / hex_of(digest)

    def info(self, digest: Digest) -> BlobInfo:
        """Describe a blob; NotFound."""
        try:
            return _describe(digest, self.path(digest).stat())
        except FileNotFoundError:
            raise _missing(digest) from None

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading, seekable; NotFound."""
        try:
            return self.path(digest).open("rb", buffering=0)
        except FileNotFoundError:
            raise _missing(digest) from None

    def writer(self, ref: str) -> "LocalIngest":
        """Open or resume the ingest `ref`; Conflict while another writer holds it."""
        directory = self._ingests / hex_of(digest_bytes(ref.encode()))
        directory.mkdir(exist_ok=True)
        return LocalIngest(self, ref, directory)

    def walk(self) -> Iterator[BlobInfo]:
        """Yield every blob, in no order."""
        for algorithm in os.listdir(self._blobs):
            with os.scandir(self._blobs / algorithm) as entries:
                for entry in entries:
                    if _HEX.fullmatch(entry.name):
                        yield _describe(Digest(f"{algorithm}:{entry.name}"), entry.stat())

    def delete(self, digest: Digest) -> None:
        """Remove a blob; NotFound."""
        try:
            self.path(digest).unlink()
        except FileNotFoundError:
            raise _missing(digest) from None

    def discard_ingests(
        self, *, older_than: datetime, keep: Callable[[str], bool] = nothing
    ) -> int:
        """Drop abandoned ingests last written before `older_than` but `keep`; return how many."""
        dropped = 0
        for name in os.listdir(self._ingests):
            data = self._ingests / name / "data"
            try:
                stale = os.stat(data).st_mtime < older_than.timestamp()
            except FileNotFoundError:
                stale = os.stat(data.parent).st_mtime < older_than.timestamp()
            if stale and not keep(_ref(data.parent)) and _unused(data):
                remove_tree(data.parent)
                dropped += 1
        return dropped

    def publish(self, data: Path, digest: Digest) -> None:
        """Move a synced file to its place; AlreadyExists. For ingests only."""
        target = self.path(digest)
        target.parent.mkdir(exist_ok=True)
        if target.exists():
            raise AlreadyExists(f"blob {digest} already exists")
        # Two writers of the same bytes may both come here: the second replaces like by like.
        data.rename(target)
        atomic.sync_directory(target.parent)


class LocalIngest:
    """An ingest under way; see `content.store.IngestWriter`."""

    def __init__(self, store: LocalContentStore, ref: str, directory: Path) -> None:
        self._store = store
        self._directory = directory
        self._data = directory / "data"
        self._hash = hashlib.sha256()
        self._fd = os.open(self._data, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # A directory that its last writer removed after we looked must not be written to.
            if not try_lock(self._fd) or not _is_file(self._data, self._fd):
                raise Conflict(f"ref {ref!r} is locked by another writer")
            self.offset = self._resume()
            if not self.offset:
                atomic.write(directory / "ref", ref.encode(), durable=False)
        except BaseException:
            os.close(self._fd)
            raise

    def _resume(self) -> int:
        offset = 0
        while data := os.read(self._fd, _CHUNK):
            self._hash.update(data)
            offset += len(data)
        return offset

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`, return its length; OSError."""
        atomic.write_all(self._fd, data)
        self._hash.update(data)
        self.offset += len(data)
        return len(data)

    def truncate(self) -> None:
        """Drop what was written so far, to begin anew."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.ftruncate(self._fd, 0)
        self._hash = hashlib.sha256()
        self.offset = 0

    def verify(self, *, expected: Digest | None = None, size: int | None = None) -> Digest:
        """Return the digest of what was written; DataLoss, and the ingest is lost, if it differs."""
        digest = self._digest(expected)
        if size is not None and size != self.offset:
            offset = self.offset
            self.abort()
            raise DataLoss(f"unexpected commit size {offset}, expected {size}")
        if expected is not None and digest != expected:
            self.abort()
            raise DataLoss(f"unexpected commit digest {digest}, expected {expected}")
        return digest

    def open(self) -> BinaryIO:
        """Open what was written so far for reading, from the beginning."""
        return open(f"/proc/self/fd/{self._fd}", "rb", buffering=0)

    def commit(self, *, expected: Digest | None = None, size: int | None = None) -> BlobInfo:
        """Verify, persist, publish.

        DataLoss if size or digest differ, which also drops the ingest since resuming it would be
        in vain; AlreadyExists.
        """
        digest = self.verify(expected=expected, size=size)
        try:
            if not self._store.path(digest).exists():
                os.fchmod(self._fd, 0o444)
                os.fsync(self._fd)
            self._store.publish(self._data, digest)
            return _describe(digest, os.fstat(self._fd))
        finally:
            self.abort()

    def abort(self) -> None:
        """Forget the ingest and its bytes."""
        if self._fd >= 0:
            remove_tree(self._directory)
            self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _digest(self, expected: Digest | None) -> Digest:
        algorithm = algorithm_of(parse_digest(expected)) if expected else "sha256"
        if algorithm == "sha256":
            return Digest(f"sha256:{self._hash.hexdigest()}")
        with open(f"/proc/self/fd/{self._fd}", "rb", buffering=0) as file:
            return Digest(f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}")


def _is_file(path: Path, fd: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def _ref(directory: Path) -> str:
    try:
        return (directory / "ref").read_text(errors="replace")
    except FileNotFoundError:
        return ""


def _unused(data: Path) -> bool:
    try:
        fd = os.open(data, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        return try_lock(fd)
    finally:
        os.close(fd)


def _describe(digest: Digest, status: os.stat_result) -> BlobInfo:
    return BlobInfo(digest, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _missing(digest: Digest) -> NotFound:
    return NotFound(f"content {digest}: not found")
