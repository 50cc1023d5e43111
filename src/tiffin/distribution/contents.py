"""What a registry has to offer to readers: its own content, or another's by way of a cache.

The contract `Contents` is what the HTTP side reads from; `OwnContents` is a registry of its own,
`mirror.cache.MirroredContents` one that fetches what it lacks.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tiffin.distribution import layout
from tiffin.distribution.blobs import Blobs
from tiffin.distribution.catalog import Catalog
from tiffin.distribution.manifests import ManifestInfo, Manifests
from tiffin.distribution.names import TagOrDigest
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import Digest


@dataclass(frozen=True, slots=True)
class Readable:
    """A blob to be sent: a local file where there is one, else `read(first, length)` yields it."""

    size: int
    read: Callable[[int, int], AsyncIterator[bytes]]
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest; `data` is None if it was not asked for. `stale`: nobody could confirm it."""

    info: ManifestInfo
    data: bytes | None = None
    stale: bool = False


class Contents(Protocol):
    """Reads; every method raises DistributionError for what is not there."""

    async def manifest(self, repository: str, reference: TagOrDigest, *, with_data: bool) -> Found:
        """Return a manifest; MANIFEST_UNKNOWN."""

    async def blob(
        self, repository: str, digest: Digest, *, with_data: bool, for_push: bool
    ) -> Readable:
        """Return a blob; BLOB_UNKNOWN. `for_push` keeps it for a manifest that is to come.

        Without `with_data` only its size is asked for.
        """

    async def tags(self, repository: str, *, after: str = "") -> AsyncIterator[str]:
        """Return the tags after `after`, sorted; NAME_UNKNOWN."""

    async def referrers(
        self, repository: str, subject: Digest, *, after: Digest | None = None
    ) -> AsyncIterator[Descriptor]:
        """Return what refers to `subject`."""


class OwnContents:
    """The content of a registry that has it all; see `Contents`."""

    def __init__(self, blobs: Blobs, manifests: Manifests, catalog: Catalog) -> None:
        self._blobs = blobs
        self._manifests = manifests
        self._catalog = catalog

    async def manifest(self, repository: str, reference: TagOrDigest, *, with_data: bool) -> Found:
        """Return a manifest; MANIFEST_UNKNOWN."""
        info = await self._manifests.info(repository, reference)
        return Found(info, await self._manifests.content(info.digest) if with_data else None)

    async def blob(
        self, repository: str, digest: Digest, *, with_data: bool = True, for_push: bool = False
    ) -> Readable:
        """Return a blob; BLOB_UNKNOWN."""
        del with_data
        look = self._blobs.claim if for_push else self._blobs.size
        size = await look(repository, digest)
        driver, key = self._blobs.driver, layout.blob(digest)
        return Readable(
            size, lambda first, length: driver.read(key, first, length), driver.path(key)
        )

    async def tags(self, repository: str, *, after: str = "") -> AsyncIterator[str]:
        """Return the tags after `after`; NAME_UNKNOWN."""
        await self._catalog.check(repository)
        return self._manifests.tags(repository, after=after)

    async def referrers(
        self, repository: str, subject: Digest, *, after: Digest | None = None
    ) -> AsyncIterator[Descriptor]:
        """Return what refers to `subject`, nothing for an unknown repository."""
        return self._manifests.referrers.of(repository, subject, after=after)
