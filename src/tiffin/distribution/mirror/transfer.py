"""A blob on its way from upstream, which any number of clients read while it comes.

The bytes go to a file in the spool directory. Whoever asks for the blob meanwhile follows that file.
It becomes a blob of the registry only when all of it is there and its digest is right.
"""

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.mirror.upstream import Upstream
from tiffin.errors import TiffinError
from tiffin.fs import atomic
from tiffin.spec.digest import Digest, algorithm_of

log = logging.getLogger(__name__)
_ATTEMPTS = 4
_BLOCK = 256 << 10


class Transfer:
    """The download of one blob.

    `publish` gets the finished file; `read_published` yields a part of the blob after that.
    """

    def __init__(
        self,
        repository: str,
        digest: Digest,
        spool: Path,
        publish: Callable[[str, Digest, Path], Awaitable[None]],
        read_published: Callable[[int, int], AsyncIterator[bytes]],
    ) -> None:  # fmt: skip
        self._repository = repository
        self._digest = digest
        self._file = spool / secrets.token_hex(8)
        self._publish = publish
        self._read_published = read_published
        self._fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.new(algorithm_of(digest))
        self._written = 0
        self._complete = False
        self._failure: Exception | None = None
        self._changed = asyncio.Condition()
        self.size: int | None = None

    async def run(self, upstream: Upstream) -> None:
        """Download to the end; failures are told to those who follow."""
        try:
            await self._download(upstream)
            found = f"{algorithm_of(self._digest)}:{self._hash.hexdigest()}"
            if found != self._digest:
                raise DistributionError(
                    Code.DIGEST_INVALID, f"{upstream.url} sent {found}", status=502
                )
            # Those who follow need not wait for the disk.
            await self._tell(complete=True)
            await self._publish(self._repository, self._digest, self._file)
        except (TiffinError, OSError) as error:
            log.warning("%s: %s: %s", self._repository, self._digest, error)
            await self._tell(failure=error)
        except BaseException:
            await self._tell(failure=OSError("the transfer was broken off"))
            raise
        finally:
            self._file.unlink(missing_ok=True)
            fd, self._fd = self._fd, -1
            os.close(fd)

    async def ready(self) -> int:
        """Wait for the first answer and return the blob's size; DistributionError, OSError."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._failure or self._complete or self.size is not None
            )
        if self._failure is not None:
            raise self._failure
        return self._written if self.size is None else self.size

    async def read(self, first: int, length: int) -> AsyncIterator[bytes]:
        """Yield a part as it comes; OSError if the rest does not come."""
        if self._fd < 0:
            async for data in self._read_published(first, length):
                yield data
            return
        fd = os.dup(self._fd)
        try:
            end = first + length
            while first < end:
                available = min(_BLOCK, end - first, await self._written_beyond(first) - first)
                data = await asyncio.to_thread(os.pread, fd, available, first)
                first += len(data)
                yield data
        finally:
            os.close(fd)

    async def _written_beyond(self, offset: int) -> int:
        """Wait for bytes after `offset` and return how many there are in all; OSError."""
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._failure or self._complete or self._written > offset
            )
        if self._written <= offset:
            raise OSError(f"the transfer of {self._digest} failed: {self._failure}")
        return self._written

    async def _download(self, upstream: Upstream) -> None:
        for attempt in range(_ATTEMPTS):
            before = self._written
            try:
                async with upstream.blob(self._repository, self._digest, self._written) as body:
                    await self._take(body.offset, body.size, body.chunks)
                return
            except DistributionError:
                # Resumed where it broke, as long as that helps.
                if self._written == before or attempt + 1 == _ATTEMPTS:
                    raise

    async def _take(self, offset: int, size: int | None, chunks: AsyncIterator[bytes]) -> None:
        if self.size is None and size is not None:
            self.size = size
            await self._tell()
        skip = self._written - offset
        async for chunk in chunks:
            data = memoryview(chunk)[min(skip, len(chunk)) :]
            skip -= min(skip, len(chunk))
            if data:
                await asyncio.to_thread(self._store, data)
                await self._tell()
        if self.size is not None and self._written < self.size:
            raise DistributionError(Code.UNAVAILABLE, "the blob ended too soon", status=502)

    def _store(self, data: memoryview) -> None:
        atomic.write_all(self._fd, data)
        self._hash.update(data)
        self._written += len(data)

    async def _tell(self, *, complete: bool = False, failure: Exception | None = None) -> None:
        async with self._changed:
            self._complete = self._complete or complete
            self._failure = self._failure or failure
            self._changed.notify_all()
