"""The content of another registry by way of our own storage; see `contents.Contents`.

- What is named by digest never changes: once here, upstream is not asked for it again.
- A tag is believed for `ttl_s`; then upstream is asked (by HEAD, which costs no rate limit) whether it
  still points to the same digest.
- If upstream is down, limits our rate or fails, what is here is served, however old, and marked stale.
- Any number of clients that miss the same thing at once make one request upstream.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import TypeVar

from tiffin.distribution import layout
from tiffin.distribution.blobs import Blobs
from tiffin.distribution.contents import Found, OwnContents, Readable
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.http.metrics import Metrics
from tiffin.distribution.manifests import Manifests
from tiffin.distribution.mirror.flights import Flights
from tiffin.distribution.mirror.transfer import Transfer
from tiffin.distribution.mirror.upstream import Upstream, UpstreamDown
from tiffin.distribution.names import TagOrDigest
from tiffin.errors import NotFound
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import Digest

_MISSING = frozenset({Code.MANIFEST_UNKNOWN, Code.BLOB_UNKNOWN, Code.NAME_UNKNOWN})
T = TypeVar("T")


class MirroredContents:
    """Reads through `own` from `upstream`; blobs on their way are in `spool`."""

    def __init__(
        self,
        own: OwnContents,
        blobs: Blobs,
        manifests: Manifests,
        upstream: Upstream,
        *,
        spool: Path,
        ttl_s: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._own = own
        self._blobs = blobs
        self._manifests = manifests
        self._upstream = upstream
        self._spool = spool
        self._ttl_s = ttl_s
        self._metrics = metrics
        self._clock = clock
        self._flights: Flights[bool] = Flights()
        self._transfers: dict[tuple[str, Digest], Transfer] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Get ready."""
        self._spool.mkdir(exist_ok=True, mode=0o700)
        for left in self._spool.iterdir():
            left.unlink()
        await self._upstream.open()

    async def close(self) -> None:
        """Break off what is in progress."""
        await self._flights.close()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._upstream.close()

    async def manifest(self, repository: str, reference: TagOrDigest, *, with_data: bool) -> Found:
        """Return a manifest, fetched if it is not here; MANIFEST_UNKNOWN, UpstreamDown."""
        stale = False
        if reference.digest is None:
            stale = await self._refresh(repository, reference.tag)
        try:
            found = await self._own.manifest(repository, reference, with_data=with_data)
        except DistributionError as error:
            if error.code not in _MISSING or stale:
                raise
            await self._flights.join(
                f"{repository}@{reference}", lambda: self._fetch(repository, reference)
            )
            found = await self._own.manifest(repository, reference, with_data=with_data)
        else:
            self._metrics.count("mirror_stale_total" if stale else "mirror_hits_total")
        return Found(found.info, found.data, stale)

    async def blob(
        self, repository: str, digest: Digest, *, with_data: bool = True, for_push: bool = False
    ) -> Readable:
        """Return a blob, possibly while it is coming; BLOB_UNKNOWN, UpstreamDown."""
        del for_push
        try:
            found = await self._own.blob(repository, digest)
        except DistributionError as error:
            if error.code not in _MISSING:
                raise
        else:
            self._metrics.count("mirror_hits_total")
            return found
        if not with_data:
            size = await self._upstream.blob_size(repository, digest)
            return Readable(size, _nothing)
        if await self._blobs.exists(digest):
            # Here for the sake of another repository: upstream says whether this one has it, too.
            await self._upstream.blob_size(repository, digest)
            if await self._blobs.link(repository, digest):
                return await self._own.blob(repository, digest)
        transfer = self._transfer(repository, digest)
        return Readable(await transfer.ready(), transfer.read)

    async def tags(self, repository: str, *, after: str = "") -> AsyncIterator[str]:
        """Return upstream's tags, our own if it does not answer; NAME_UNKNOWN."""
        try:
            tags = await self._upstream.tags(repository)
        except UpstreamDown:
            return await self._own.tags(repository, after=after)
        return _each(tag for tag in sorted(tags) if tag > after)

    async def referrers(
        self, repository: str, subject: Digest, *, after: Digest | None = None
    ) -> AsyncIterator[Descriptor]:
        """Return what refers to `subject` upstream, our own if it does not answer."""
        try:
            found = await self._upstream.referrers(repository, subject)
        except UpstreamDown:
            return await self._own.referrers(repository, subject, after=after)
        except DistributionError as error:
            if error.code is not Code.MANIFEST_UNKNOWN:
                raise
            found = []
        ordered = sorted(found, key=lambda descriptor: descriptor.digest)
        return _each(d for d in ordered if after is None or d.digest > after)

    async def _refresh(self, repository: str, tag: str) -> bool:
        """Bring a tag up to date; tell whether that could not be done, though the tag is here."""
        try:
            known = await self._blobs.driver.stat(layout.tag(repository, tag))
        except NotFound:
            return False  # to be fetched
        if self._clock() - known.modified_at < self._ttl_s:
            return False
        if self._upstream.rests:
            return True
        try:
            return await self._flights.join(
                f"{repository}:{tag}", lambda: self._revalidate(repository, tag)
            )
        except UpstreamDown:
            return True

    async def _revalidate(self, repository: str, tag: str) -> bool:
        reference = TagOrDigest(tag)
        known = await self._manifests.resolve(repository, tag)
        try:
            if await self._upstream.resolve(repository, tag) == known:
                await self._blobs.driver.touch(layout.tag(repository, tag))
            else:
                await self._fetch(repository, reference)
        except UpstreamDown:
            raise
        except DistributionError as error:
            if error.code is Code.MANIFEST_UNKNOWN:
                await self._manifests.untag(repository, tag)
            raise
        return False

    async def _fetch(self, repository: str, reference: TagOrDigest) -> bool:
        self._metrics.count("mirror_misses_total")
        remote = await self._upstream.manifest(repository, str(reference))
        await self._manifests.put(
            repository,
            TagOrDigest(digest=remote.digest),
            remote.descriptor.media_type,
            remote.data,
            tags=[reference.tag] if reference.tag else [],
            trusted=True,
        )
        return True

    def _transfer(self, repository: str, digest: Digest) -> Transfer:
        key = repository, digest
        if (running := self._transfers.get(key)) is not None:
            return running
        self._metrics.count("mirror_misses_total")
        driver, blob = self._blobs.driver, layout.blob(digest)
        transfer = Transfer(
            repository,
            digest,
            self._spool,
            self._blobs.adopt,
            lambda first, length: driver.read(blob, first, length),
        )
        self._transfers[key] = transfer
        task = asyncio.create_task(transfer.run(self._upstream))
        self._running.add(task)

        def land(done: "asyncio.Task[None]") -> None:
            self._running.discard(done)
            self._transfers.pop(key, None)

        task.add_done_callback(land)
        return transfer


async def _nothing(first: int, length: int) -> AsyncIterator[bytes]:
    del first, length
    return
    yield b""


async def _each(items: Iterable[T]) -> AsyncIterator[T]:
    for item in items:
        yield item
