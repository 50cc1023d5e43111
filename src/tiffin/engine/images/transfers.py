"""Downloads of blobs: a few at a time, each blob once, resumed where they broke off.

Two pulls that want the same blob share one download; when the pull that began it is cancelled or
may not have it, the other begins anew with its own credentials.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from tiffin.content.store import IngestWriter
from tiffin.engine.images.context import ImageContext
from tiffin.errors import AlreadyExists, DataLoss, TiffinError
from tiffin.images.manifests import has_blob
from tiffin.images.store import download_ref
from tiffin.registry.client import BlobBody, RegistryClient
from tiffin.registry.errors import RegistryError, Unreachable
from tiffin.registry.transport import may_pass
from tiffin.spec.descriptor import FOREIGN_LAYERS, Descriptor
from tiffin.spec.digest import Digest

log = logging.getLogger(__name__)
_BATCH = 1 << 20
_PROGRESS = 1 << 20
"""Bytes that an attempt must bring for the count of attempts to begin anew."""
_MAX_URLS = 8
_INTERVAL_S = 0.1

Watcher = Callable[[str, int], None]
"""Told the state of a download (`Waiting`, `Downloading`, …) and the bytes so far."""
Receiver = Callable[[BinaryIO], None]
"""Gets the bytes of a blob once they are verified, which is before they are safe on disk."""


def unused(blob: BinaryIO) -> None:
    """Wait for the blob in the store."""
    blob.close()


@dataclass(eq=False, slots=True)
class _Transfer:
    """A download under way, and who is told of it."""

    watchers: list[Watcher] = field(default_factory=list)
    receivers: list[Receiver] = field(default_factory=list)
    state: tuple[str, int] = ("", 0)
    reported_at: float = 0.0
    task: "asyncio.Task[None] | None" = None

    def report(self, state: str, current: int = 0, *, often: bool = False) -> None:
        """Tell all watchers; of what happens `often` only ten a second."""
        now = time.monotonic()
        if often and now - self.reported_at < _INTERVAL_S:
            return
        self.reported_at = now
        self.state = (state, current)
        for watch in self.watchers:
            watch(state, current)


class Downloads:
    """All downloads of the daemon; `limit` is Docker's `max-concurrent-downloads`."""

    def __init__(self, context: ImageContext, limit: int = 3) -> None:
        self._context = context
        self._places = asyncio.Semaphore(limit)
        self._running: dict[Digest, _Transfer] = {}

    async def fetch(
        self, client: RegistryClient, repository: str, wanted: Descriptor, watch: Watcher,
        receive: Receiver = unused,
    ) -> None:  # fmt: skip
        """Bring a blob into the content store; the caller holds a lease on it.

        `receive` is called at most once, for what this call had to wait for. RegistryError,
        DataLoss.
        """
        handed_over = False

        def hand_over(blob: BinaryIO) -> None:
            nonlocal handed_over
            handed_over = True
            watch("Download complete", wanted.size)
            receive(blob)

        while not has_blob(self._context.store.content, wanted.digest):
            transfer = self._running.get(wanted.digest)
            mine = transfer is None
            if transfer is None:
                transfer = self._begin(client, repository, wanted)
            transfer.watchers.append(watch)
            transfer.receivers.append(hand_over)
            if transfer.state[0]:
                watch(*transfer.state)
            try:
                if await self._wait(transfer):
                    break
            except TiffinError:
                if mine:
                    raise
                log.info("%s: shared download failed, trying again", wanted.digest)
            finally:
                await self._leave(transfer, watch, hand_over)
        if not handed_over:
            watch("Download complete", wanted.size)

    def _begin(self, client: RegistryClient, repository: str, wanted: Descriptor) -> _Transfer:
        transfer = _Transfer()
        self._running[wanted.digest] = transfer
        transfer.task = asyncio.create_task(self._run(transfer, client, repository, wanted))
        return transfer

    async def _wait(self, transfer: _Transfer) -> bool:
        """Wait for the end; False if it was cancelled by whoever began it."""
        task = transfer.task
        if task is None:
            return False
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return False
        return True

    async def _leave(self, transfer: _Transfer, watch: Watcher, receive: Receiver) -> None:
        """Stop watching; a download that nobody waits for is given up."""
        transfer.watchers.remove(watch)
        if receive in transfer.receivers:
            transfer.receivers.remove(receive)
        task = transfer.task
        if not transfer.watchers and task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def _run(
        self, transfer: _Transfer, client: RegistryClient, repository: str, wanted: Descriptor
    ) -> None:
        try:
            if self._places.locked():
                transfer.report("Waiting")
            async with self._places:
                ingest = await self._attempts(transfer, client, repository, wanted)
            # Others may download while the disk takes its time.
            try:
                await ingest.commit()
            finally:
                await ingest.close()
        finally:
            del self._running[wanted.digest]

    async def _attempts(
        self, transfer: _Transfer, client: RegistryClient, repository: str, wanted: Descriptor
    ) -> "_Ingest":
        """Attempt it until it succeeds; one that brought the download forward is not counted."""
        attempt, reached = 0, 0
        while True:
            try:
                return await self._attempt(transfer, client, repository, wanted)
            except RegistryError as error:
                if transfer.state[1] >= reached + _PROGRESS:
                    attempt, reached = 0, transfer.state[1]
                attempt += 1
                passing = isinstance(error, Unreachable) or may_pass(error, client.retry)
                if attempt >= client.retry.attempts or not passing:
                    raise
                log.info("%s: attempt %d: %s", wanted.digest, attempt, error)
                transfer.report("Retrying", transfer.state[1])
                wanted_s = error.retry_after_s
            await client.retry.pause(attempt, wanted_s)

    async def _attempt(
        self, transfer: _Transfer, client: RegistryClient, repository: str, wanted: Descriptor
    ) -> "_Ingest":
        """Return the ingest with all bytes, verified and not yet committed."""
        ingest = _Ingest(self._context, wanted)
        try:
            await ingest.open()
            resumed = ingest.writer.offset > 0
            if ingest.writer.offset < wanted.size:
                await self._receive(transfer, client, repository, ingest)
            transfer.report("Verifying Checksum", ingest.writer.offset)
            try:
                await ingest.verify()
            except DataLoss as error:
                text = f"filesystem layer verification failed for digest {wanted.digest}"
                if resumed:  # what was there before may have been damaged: once more from 0
                    raise Unreachable(text) from error
                raise DataLoss(text) from error
            for receive in transfer.receivers:
                receive(ingest.writer.open())
            transfer.receivers.clear()
        except BaseException:
            await ingest.close()
            raise
        return ingest

    async def _receive(
        self, transfer: _Transfer, client: RegistryClient, repository: str, ingest: "_Ingest"
    ) -> None:
        async with _source(client, repository, ingest.wanted, ingest.writer.offset) as body:
            if body.offset != ingest.writer.offset:
                await ingest.restart()
                if body.offset:
                    raise Unreachable(f"{ingest.wanted.digest}: the registry sent another range")
            if body.size is not None and body.size > ingest.wanted.size:
                await ingest.refuse()
            try:
                await self._store(transfer, ingest, body)
            finally:
                transfer.state = (transfer.state[0], ingest.writer.offset)
        if ingest.writer.offset < ingest.wanted.size:
            raise Unreachable(f"{ingest.wanted.digest}: unexpected EOF")

    async def _store(self, transfer: _Transfer, ingest: "_Ingest", body: BlobBody) -> None:
        batch: list[bytes] = []
        size = 0
        try:
            async for chunk in body.chunks:
                batch.append(chunk)
                size += len(chunk)
                if size >= _BATCH:
                    full, batch, size = batch, [], 0
                    await ingest.write(full)
                    transfer.report("Downloading", ingest.writer.offset, often=True)
        except Unreachable:
            await ingest.write(batch)  # what came before the break need not come again
            raise
        await ingest.write(batch)


@asynccontextmanager
async def _source(
    client: RegistryClient, repository: str, wanted: Descriptor, offset: int
) -> AsyncIterator[BlobBody]:
    """Open a blob at the registry; one that may not be distributed where its descriptor says."""
    if wanted.media_type not in FOREIGN_LAYERS or not wanted.urls:
        async with client.blob(repository, wanted.digest, offset) as body:
            yield body
        return
    async with AsyncExitStack() as stack:
        failure: RegistryError | None = None
        for url in wanted.urls[:_MAX_URLS]:
            try:
                yielded = await stack.enter_async_context(client.foreign_blob(url, offset))
                break
            except RegistryError as error:
                failure = error
        else:
            raise failure or RegistryError(f"{wanted.digest}: no usable URL")
        yield yielded


class _Ingest:
    """A blob on its way into the content store; everything blocking happens in the pool."""

    writer: IngestWriter

    def __init__(self, context: ImageContext, wanted: Descriptor) -> None:
        self._context = context
        self._is_open = False
        self.wanted = wanted

    async def open(self) -> None:
        """Open or resume it."""
        self.writer = await self._context.run(self._open)

    async def restart(self) -> None:
        """Throw away what is there."""
        await self._context.run(self.writer.abort)
        await self.open()

    async def write(self, batch: list[bytes]) -> None:
        """Append; DataLoss if that is more than there should be."""
        if self.writer.offset + sum(map(len, batch)) > self.wanted.size:
            await self.refuse()
        try:
            await self._context.run(_write_all, self.writer, batch)
        except OSError:  # a full disk gets its space back
            await self._context.run(self.writer.abort)
            raise

    async def refuse(self) -> None:
        """Throw away what is there, since more comes than the manifest says; DataLoss."""
        await self._context.run(self.writer.abort)
        raise DataLoss(
            f"{self.wanted.digest}: the registry sent more than {self.wanted.size} bytes"
        )

    async def verify(self) -> None:
        """Compare what has come with what was wanted; DataLoss."""
        await self._context.run(
            self.writer.verify, expected=self.wanted.digest, size=self.wanted.size
        )

    async def commit(self) -> None:
        """Make it durable and publish it; DataLoss."""
        with suppress(AlreadyExists):
            await self._context.run(
                self.writer.commit, expected=self.wanted.digest, size=self.wanted.size
            )

    async def close(self) -> None:
        """Let go, keeping the bytes for another attempt."""
        if self._is_open:
            await self._context.run(self.writer.__exit__, None, None, None)

    def _open(self) -> IngestWriter:
        writer = self._context.store.content.writer(download_ref(self.wanted.digest))
        self._is_open = True
        return writer


def _write_all(writer: IngestWriter, batch: list[bytes]) -> None:
    for data in batch:
        writer.write(data)
