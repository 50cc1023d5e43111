"""Collecting what nothing needs any more, while the registry serves.

Mark: a manifest needs the blobs that it names, in its own repository. Sweep: links that no manifest
needs, then bytes without links, then abandoned uploads and empty repositories. What is newer than the
beginning of the collection less the *grace* stays; whoever relies on an object makes it new first, and
the sweep looks again at its age with the object's lock in hand. So a push is safe from the moment that
it was told of a blob, as long as it does not take longer than the grace between two steps.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tiffin.distribution import layout
from tiffin.distribution.blobs import Blobs
from tiffin.distribution.catalog import Catalog
from tiffin.distribution.documents import Document
from tiffin.distribution.errors import DistributionError
from tiffin.distribution.manifests import Manifests
from tiffin.distribution.uploads import Uploads
from tiffin.spec.digest import Digest

log = logging.getLogger(__name__)
_AT_ONCE = 16
# File systems stamp with a clock that lags behind by up to a tick.
_CLOCK_SLACK_S = 0.05


@dataclass(frozen=True, slots=True)
class Retention:
    """What to keep, in seconds: objects that nothing needs, and uploads that nobody continues."""

    grace_s: float = 24 * 3600
    uploads_s: float = 7 * 24 * 3600
    untagged: bool = False
    """Whether manifests go that neither a tag nor a kept manifest leads to."""


@dataclass(slots=True)
class Collected:
    """What a collection removed (or would); `bytes` of blobs."""

    manifests: int = 0
    links: int = 0
    blobs: int = 0
    bytes: int = 0
    uploads: int = 0
    repositories: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class _Marks:
    """What is needed: blobs by repository, and the manifests' own bytes."""

    blobs: dict[str, set[Digest]] = field(default_factory=dict)
    manifests: set[Digest] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)


class Collector:
    """Collects the garbage of one registry; one collection at a time."""

    def __init__(
        self,
        blobs: Blobs,
        manifests: Manifests,
        uploads: Uploads,
        catalog: Catalog,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._blobs = blobs
        self._manifests = manifests
        self._uploads = uploads
        self._catalog = catalog
        self._clock = clock
        self._lock = asyncio.Lock()

    async def collect(self, keep: Retention, *, dry_run: bool = False) -> Collected:
        """Collect once; with `dry_run` only count (uploads and repositories are left out then)."""
        async with self._lock:
            started = self._clock()
            found = Collected()
            # A claim may be as old as claim_age_s; times may be rounded to seconds.
            grace_s = max(keep.grace_s, 2 * self._blobs.claim_age_s)
            before = started - grace_s - _CLOCK_SLACK_S
            marks = _Marks()
            names = await self._catalog.names()
            for name in names:
                await self._mark(name, marks, keep, before, found, dry_run=dry_run)
            linked, holding = await self._sweep_links(marks, before, found, dry_run=dry_run)
            await self._sweep_bytes(marks, linked, before, found, dry_run=dry_run)
            if not dry_run:
                found.uploads = await self._uploads.discard_older(started - keep.uploads_s)
                await self._sweep_catalog(names, marks, holding, before, found)
            found.seconds = round(self._clock() - started, 3)
            return found

    async def _mark(
        self, name: str, marks: _Marks, keep: Retention, before: float, found: Collected,
        *, dry_run: bool,
    ) -> None:  # fmt: skip
        documents = await self._read_all(name, marks)
        if keep.untagged and name not in marks.unreadable:
            for digest in documents.keys() - await self._tagged(name, documents):
                if dry_run or await self._manifests.delete_unused(name, digest, before):
                    found.manifests += 1
                    del documents[digest]
        needed = marks.blobs.setdefault(name, set())
        for digest, document in documents.items():
            marks.manifests.add(digest)
            needed |= document.references

    async def _read_all(self, name: str, marks: _Marks) -> dict[Digest, Document]:
        documents: dict[Digest, Document] = {}
        gate = asyncio.Semaphore(_AT_ONCE)

        async def read(digest: Digest) -> None:
            async with gate:
                try:
                    documents[digest] = await self._manifests.document(name, digest)
                except DistributionError as error:
                    # Deleted since it was listed, or damaged: what it needs is not known.
                    log.warning("%s: cannot read manifest %s: %s", name, digest, error)
                    marks.unreadable.add(name)
                    marks.manifests.add(digest)

        digests = [digest async for digest in self._manifests.digests(name)]
        await asyncio.gather(*map(read, digests))
        return documents

    async def _tagged(self, name: str, documents: dict[Digest, Document]) -> set[Digest]:
        """Return the manifests that tags lead to, by way of indexes and subjects."""
        referrers: dict[Digest, list[Digest]] = {}
        for digest, document in documents.items():
            if document.subject is not None:
                referrers.setdefault(document.subject, []).append(digest)
        tags = [tag async for tag in self._manifests.tags(name)]
        left = [await self._manifests.resolve(name, tag) for tag in tags]
        reached: set[Digest] = set()
        while left:
            digest = left.pop()
            if digest not in reached:
                reached.add(digest)
                if digest in documents:
                    left += documents[digest].references
                left += referrers.get(digest, ())
        return reached

    async def _sweep_links(
        self, marks: _Marks, before: float, found: Collected, *, dry_run: bool
    ) -> tuple[set[Digest], set[str]]:
        linked: set[Digest] = set()
        holding: set[str] = set()
        nothing: Iterable[Digest] = frozenset()
        async for info in self._blobs.driver.list(layout.LINKS):
            digest, name = layout.link_of(info.key)
            needed = name in marks.unreadable or digest in marks.blobs.get(name, nothing)
            goes = not needed and info.modified_at < before
            if goes and (dry_run or await self._blobs.collect_link(name, digest, before)):
                found.links += 1
            else:
                linked.add(digest)
                holding.add(name)
        return linked, holding

    async def _sweep_bytes(
        self, marks: _Marks, linked: set[Digest], before: float, found: Collected,
        *, dry_run: bool,
    ) -> None:  # fmt: skip
        async for info in self._blobs.driver.list(layout.BLOBS):
            digest = layout.blob_digest(info.key)
            if digest in linked or digest in marks.manifests or info.modified_at >= before:
                continue
            if dry_run or await self._blobs.collect_bytes(digest, before):
                found.blobs += 1
                found.bytes += info.size

    async def _sweep_catalog(
        self, names: Iterable[str], marks: _Marks, holding: set[str], before: float,
        found: Collected,
    ) -> None:  # fmt: skip
        for name in names:
            if name in holding or name in marks.unreadable:
                continue
            if [digest async for digest in self._manifests.digests(name)]:
                continue
            found.repositories += await self._blobs.forget_repository(name, before)
