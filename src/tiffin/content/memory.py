"""Blobs in memory: for tests, and for images that never touch a disk."""

import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import BinaryIO, Self

from tiffin.content.store import BlobInfo, nothing
from tiffin.errors import AlreadyExists, Conflict, DataLoss, NotFound
from tiffin.spec.digest import Digest, algorithm_of, parse_digest


class MemoryContentStore:
    """Blobs in a dict."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[Digest, tuple[bytes, BlobInfo]] = {}
        self._ingests: dict[str, bytearray] = {}
        self._held: set[str] = set()

    def info(self, digest: Digest) -> BlobInfo:
        """Describe a blob; NotFound."""
        return self._find(digest)[1]

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading, seekable; NotFound."""
        return io.BytesIO(self._find(digest)[0])

    def writer(self, ref: str) -> "MemoryIngest":
        """Open or resume the ingest `ref`; Conflict while another writer holds it."""
        with self._lock:
            if ref in self._held:
                raise Conflict(f"ref {ref!r} is locked by another writer")
            self._held.add(ref)
            return MemoryIngest(self, ref, self._ingests.setdefault(ref, bytearray()))

    def walk(self) -> Iterator[BlobInfo]:
        """Yield every blob, in no order."""
        with self._lock:
            infos = [info for _, info in self._blobs.values()]
        yield from infos

    def delete(self, digest: Digest) -> None:
        """Remove a blob; NotFound."""
        self._find(digest)
        with self._lock:
            self._blobs.pop(digest, None)

    def discard_ingests(
        self, *, older_than: datetime, keep: Callable[[str], bool] = nothing
    ) -> int:
        """Drop ingests that nobody writes, whatever their age; count them."""
        del older_than  # not noted: memory does not outlive its process
        with self._lock:
            unused = [ref for ref in self._ingests if ref not in self._held and not keep(ref)]
            for ref in unused:
                del self._ingests[ref]
            return len(unused)

    def publish(self, data: bytes, digest: Digest) -> BlobInfo:
        """Add a verified blob; AlreadyExists. For ingests only."""
        with self._lock:
            if digest in self._blobs:
                raise AlreadyExists(f"blob {digest} already exists")
            info = BlobInfo(digest, len(data), datetime.now(UTC))
            self._blobs[digest] = data, info
            return info

    def release(self, ref: str, *, forget: bool) -> None:
        """Let go of an ingest. For ingests only."""
        with self._lock:
            self._held.discard(ref)
            if forget:
                self._ingests.pop(ref, None)

    def _find(self, digest: Digest) -> tuple[bytes, BlobInfo]:
        parse_digest(digest)
        with self._lock:
            if digest not in self._blobs:
                raise NotFound(f"content {digest}: not found")
            return self._blobs[digest]


class MemoryIngest:
    """An ingest under way; see `content.store.IngestWriter`."""

    def __init__(self, store: MemoryContentStore, ref: str, data: bytearray) -> None:
        self._store = store
        self._ref = ref
        self._data = data

    @property
    def offset(self) -> int:
        """Bytes written so far."""
        return len(self._data)

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`, return its length."""
        self._data += data
        return len(data)

    def truncate(self) -> None:
        """Drop what was written so far, to begin anew."""
        self._data.clear()

    def verify(self, *, expected: Digest | None = None, size: int | None = None) -> Digest:
        """Return the digest of what was written; DataLoss, and the ingest is lost, if it differs."""
        algorithm = algorithm_of(parse_digest(expected)) if expected else "sha256"
        digest = Digest(f"{algorithm}:{hashlib.new(algorithm, self._data).hexdigest()}")
        if size is not None and size != self.offset:
            self.abort()
            raise DataLoss(f"unexpected commit size {self.offset}, expected {size}")
        if expected is not None and digest != expected:
            self.abort()
            raise DataLoss(f"unexpected commit digest {digest}, expected {expected}")
        return digest

    def open(self) -> BinaryIO:
        """Open what was written so far for reading."""
        return io.BytesIO(bytes(self._data))

    def commit(self, *, expected: Digest | None = None, size: int | None = None) -> BlobInfo:
        """Verify and publish; DataLoss if size or digest differ; AlreadyExists."""
        digest = self.verify(expected=expected, size=size)
        data = bytes(self._data)
        self.abort()
        return self._store.publish(data, digest)

    def abort(self) -> None:
        """Forget the ingest and its bytes."""
        self._store.release(self._ref, forget=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._store.release(self._ref, forget=False)
