"""Blobs, and which repository has which.

A blob's bytes are kept once; a *link* says that a repository has it. What relies on a blob *claims* it
first: the claim makes the link's time new, and the collector leaves alone what is newer than its
own beginning less the grace. Whoever makes or breaks a link, or removes bytes, holds the lock of
the digest; so bytes never go while a link to them is being made.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from tiffin.distribution import layout
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.locks import Locks
from tiffin.distribution.storage.driver import StorageDriver, Upload
from tiffin.errors import NotFound
from tiffin.spec.digest import Digest, algorithm_of


class Blobs:
    """The blobs of all repositories. A claim younger than `claim_age_s` is not renewed."""

    def __init__(
        self,
        driver: StorageDriver,
        *,
        claim_age_s: float = 0.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.driver = driver
        self.locks = Locks()
        self.claim_age_s = claim_age_s
        self._clock = clock
        self._known_repositories: set[str] = set()
        self._linked_at: dict[str, float] = {}
        self._catalog_locks = Locks()

    async def size(self, repository: str, digest: Digest) -> int:
        """Return the length of a blob that the repository has; BLOB_UNKNOWN."""
        try:
            await self.driver.stat(layout.link(digest, repository))
            return (await self.driver.stat(layout.blob(digest))).size
        except NotFound as error:
            raise _unknown(digest) from error

    async def claim(self, repository: str, digest: Digest) -> int:
        """Return the length as `size` does, and keep the blob from being collected."""
        key = layout.link(digest, repository)
        try:
            link = await self.driver.stat(key)
            if self._clock() - link.modified_at >= self.claim_age_s:
                async with self.locks.hold(digest):
                    await self.driver.touch(key)
            return (await self.driver.stat(layout.blob(digest))).size
        except NotFound as error:
            raise _unknown(digest) from error

    async def admit(self, repository: str, digest: Digest, upload: Upload) -> None:
        """Let an upload, whose bytes have been checked, become a blob of the repository."""
        async with self.locks.hold(digest):
            if await self.exists(digest):
                await upload.discard()
            else:
                await upload.publish(layout.blob(digest))
            await self._link(repository, digest)

    async def adopt(self, repository: str, digest: Digest, file: Path) -> None:
        """Like `admit`, for a local file; it is gone then."""
        async with self.locks.hold(digest):
            if not await self.exists(digest):
                await self.driver.adopt(file, layout.blob(digest))
            await asyncio.to_thread(file.unlink, missing_ok=True)
            await self._link(repository, digest)

    async def link(self, repository: str, digest: Digest) -> bool:
        """Give the repository a blob whose bytes are here already; False if they are not."""
        async with self.locks.hold(digest):
            if not await self.exists(digest):
                return False
            await self._link(repository, digest)
            return True

    async def mount(self, repository: str, digest: Digest, source: str) -> bool:
        """Give the repository what `source` has; False if that has not got it."""
        async with self.locks.hold(digest):
            if not await self.has(source, digest):
                return False
            await self._link(repository, digest)
            return True

    async def has(self, repository: str, digest: Digest) -> bool:
        """Tell whether the repository has the blob."""
        try:
            await self.size(repository, digest)
        except DistributionError:
            return False
        return True

    async def holders(self, digest: Digest, limit: int = 100) -> list[str]:
        """Return the names of repositories that have the blob."""
        found: list[str] = []
        async for info in self.driver.list(layout.links(digest)):
            found.append(layout.link_of(info.key)[1])
            if len(found) == limit:
                break
        return found

    async def unlink(self, repository: str, digest: Digest) -> None:
        """Take the blob from the repository; BLOB_UNKNOWN. Its bytes are left to the collector."""
        async with self.locks.hold(digest):
            await self.size(repository, digest)
            await self.driver.delete(layout.link(digest, repository))

    async def put(self, digest: Digest, data: bytes) -> None:
        """Keep the bytes of a manifest, which no link but the manifest's record refers to."""
        async with self.locks.hold(digest):
            if await self.exists(digest):
                await self.driver.touch(layout.blob(digest))
            else:
                await self.driver.put(layout.blob(digest), data)

    async def content(self, digest: Digest) -> bytes:
        """Return the bytes of a manifest or another small blob; NotFound."""
        return await self.driver.get(layout.blob(digest))

    async def remember_repository(self, repository: str) -> None:
        """Put the repository into the catalogue."""
        self._linked_at[repository] = self._clock()
        if repository not in self._known_repositories:
            async with self._catalog_locks.hold(repository):
                await self.driver.put(layout.catalog(repository), b"")
                self._known_repositories.add(repository)

    async def forget_repository(self, repository: str, before: float) -> bool:
        """Take an empty repository from the catalogue, unless it was used since `before` (epoch)."""
        async with self._catalog_locks.hold(repository):
            if self._linked_at.get(repository, 0.0) >= before:
                return False
            self._known_repositories.discard(repository)
            await self.driver.delete(layout.catalog(repository))
            return True

    async def collect_link(self, repository: str, digest: Digest, before: float) -> bool:
        """Break a link that no manifest needs, unless it was claimed since `before` (epoch)."""
        key = layout.link(digest, repository)
        async with self.locks.hold(digest):
            if await self._changed_since(key, before):
                return False
            await self.driver.delete(key)
            return True

    async def collect_bytes(self, digest: Digest, before: float) -> bool:
        """Remove the bytes of a blob without links, unless they were used since `before` (epoch)."""
        key = layout.blob(digest)
        async with self.locks.hold(digest):
            if await self._changed_since(key, before) or await self.holders(digest, limit=1):
                return False
            await self.driver.delete(key)
            return True

    async def _changed_since(self, key: str, before: float) -> bool:
        try:
            return (await self.driver.stat(key)).modified_at >= before
        except NotFound:
            return True

    async def _link(self, repository: str, digest: Digest) -> None:
        self._linked_at[repository] = self._clock()
        await self.driver.put(layout.link(digest, repository), b"")
        await self.remember_repository(repository)

    async def exists(self, digest: Digest) -> bool:
        """Tell whether a blob's bytes are here, whoever has it."""
        try:
            await self.driver.stat(layout.blob(digest))
        except NotFound:
            return False
        return True


def digest_as(algorithm: str, data: bytes) -> Digest:
    """Return the digest of `data` by one of the supported algorithms."""
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def verify(data: bytes, digest: Digest) -> None:
    """Check bytes against their name; DIGEST_INVALID."""
    found = digest_as(algorithm_of(digest), data)
    if found != digest:
        raise DistributionError(Code.DIGEST_INVALID, detail={"expected": digest, "actual": found})


def _unknown(digest: Digest) -> DistributionError:
    return DistributionError(Code.BLOB_UNKNOWN, detail={"digest": digest})
