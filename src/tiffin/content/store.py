"""The content store contract: immutable blobs named by their digest.

A blob is written through an ingest named by a `ref`; an interrupted ingest can be resumed at its
`offset`. `commit` verifies size and digest, makes the blob durable (fsync, rename, fsync of the
directory) and only then does the blob exist. Committing a blob that exists raises AlreadyExists,
which callers usually accept as success.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import BinaryIO, Protocol, Self

from tiffin.spec.digest import Digest


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What the store knows about one blob; `size` in bytes."""

    digest: Digest
    size: int
    created_at: datetime


def nothing(_ref: str) -> bool:
    """Keep no ingest."""
    return False


class IngestWriter(Protocol):
    """An ingest under way. Leaving the `with` block without a commit keeps it for resumption."""

    @property
    def offset(self) -> int:
        """Bytes written so far."""

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`, return its length."""

    def verify(self, *, expected: Digest | None = None, size: int | None = None) -> Digest:
        """Return the digest of what was written; DataLoss, and the ingest is lost, if it differs."""

    def open(self) -> BinaryIO:
        """Open what was written so far for reading, on its own; it stays readable once committed."""

    def commit(self, *, expected: Digest | None = None, size: int | None = None) -> BlobInfo:
        """Verify, persist, publish. DataLoss if size or digest differ; AlreadyExists."""

    def abort(self) -> None:
        """Forget the ingest and its bytes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...  # fmt: skip


class ContentStore(Protocol):
    """Blobs by digest."""

    def info(self, digest: Digest) -> BlobInfo:
        """Describe a blob; NotFound."""

    def open(self, digest: Digest) -> BinaryIO:
        """Open a blob for reading (seekable); NotFound."""

    def writer(self, ref: str) -> IngestWriter:
        """Open or resume the ingest `ref`; Conflict while another writer holds it."""

    def walk(self) -> Iterator[BlobInfo]:
        """Yield every blob, in no order."""

    def delete(self, digest: Digest) -> None:
        """Remove a blob; NotFound."""

    def discard_ingests(
        self, *, older_than: datetime, keep: Callable[[str], bool] = nothing
    ) -> int:
        """Drop ingests that nobody writes and whose last write is before `older_than`; count them.

        Those stay whose ref `keep` is true of.
        """
