"""One blob on its way to a registry: in one request, or where that breaks from where it broke off.

The registry is asked how much has arrived before anything is sent again, so that no byte goes twice
to a registry that keeps what it got.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from tiffin.engine.images.context import ImageContext
from tiffin.registry.client import RegistryClient
from tiffin.registry.errors import RegistryError, Unreachable
from tiffin.registry.transport import may_pass
from tiffin.registry.upload import Upload
from tiffin.spec.descriptor import Descriptor

log = logging.getLogger(__name__)
_CHUNK = 1 << 20
_PIECE = 16 << 20
_TOO_LARGE = 413

OnSent = Callable[[int], None]
"""Told how many bytes of a blob the registry has been sent."""


@dataclass(frozen=True, slots=True)
class BlobDelivery:
    """Sends a blob that the repository does not have; `retrying` is told before each new attempt."""

    context: ImageContext
    client: RegistryClient
    repository: str
    blob: Descriptor
    sent: OnSent
    retrying: Callable[[], None]

    async def run(self, upload: Upload | None) -> None:
        """Deliver it by an upload that was opened, or by a new one; RegistryError."""
        attempt, reached = 0, 0
        retry = self.client.retry
        while True:
            try:
                if upload is None:
                    upload = await self.client.begin_upload(self.repository)
                await self._send(upload)
                return
            except RegistryError as error:
                passing = isinstance(error, Unreachable) or may_pass(error, retry)
                if error.status == 401 and attempt == 0:
                    self.client.authorizer.forget()  # it may have run out on the way
                    passing = True
                attempt += 1
                if attempt >= retry.attempts or not passing:
                    raise
                log.info("%s: attempt %d: %s", self.blob.digest, attempt, error)
                wanted_s = error.retry_after_s
            self.retrying()
            await retry.pause(attempt - 1, wanted_s)
            upload = await self._resumed(upload)
            if upload is not None and upload.offset > reached:
                attempt, reached = 0, upload.offset

    async def _resumed(self, upload: Upload | None) -> Upload | None:
        """Return the upload with what has arrived of it, None if it has to begin anew."""
        if upload is None:
            return None
        try:
            found = await self.client.upload_status(upload)
        except RegistryError as error:
            log.debug("%s: the upload is lost: %s", self.blob.digest, error)
            return None
        return found if found.offset <= self.blob.size else None

    async def _send(self, upload: Upload) -> None:
        size = self.blob.size
        try:
            if upload.offset == 0:
                async with self._body(0, size) as body:
                    await self.client.upload(upload, self.blob.digest, size, body)
                return
            if upload.offset < size:
                upload = await self._piece(upload, size - upload.offset)
            await self.client.finish_upload(upload, self.blob.digest)
        except RegistryError as error:
            if error.status != _TOO_LARGE:
                raise
            await self._send_pieces()

    async def _send_pieces(self) -> None:
        """Send it piece by piece: a proxy in between limits the size of one request."""
        upload = await self.client.begin_upload(self.repository)
        while upload.offset < self.blob.size:
            size = min(max(_PIECE, upload.smallest), self.blob.size - upload.offset)
            upload = await self._piece(upload, size)
        await self.client.finish_upload(upload, self.blob.digest)

    async def _piece(self, upload: Upload, size: int) -> Upload:
        async with self._body(upload.offset, size) as body:
            return await self.client.upload_piece(upload, size, body)

    @asynccontextmanager
    async def _body(self, offset: int, size: int) -> AsyncIterator["_Body"]:
        """Open a part of the blob for a request; Unreachable if the registry stops taking it."""
        patience = self.client.patience
        try:
            async with asyncio.timeout(patience.window_s) as limit:
                body = _Body(self, offset, size, limit)
                try:
                    yield body
                finally:
                    await body.close()
        except TimeoutError as error:
            text = f"{self.blob.digest}: the registry takes no more bytes"
            raise Unreachable(text) from error


class _Body:
    """A part of a blob, to be iterated by the HTTP client, which may let go of it at any moment."""

    def __init__(
        self, delivery: BlobDelivery, offset: int, size: int, limit: asyncio.Timeout
    ) -> None:
        self._delivery = delivery
        self._position = self._reported = offset
        self._end = offset + size
        self._limit = limit
        self._lock = asyncio.Lock()
        self._file = delivery.context.store.content.open(delivery.blob.digest)
        self._file.seek(offset)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        async with self._lock:
            wanted = min(_CHUNK, self._end - self._position)
            if self._file.closed or not wanted:
                raise StopAsyncIteration
            data = await self._delivery.context.run(self._file.read, wanted)
            self._position += len(data)
            self._report(is_last=self._position >= self._end)
            if not data:
                raise StopAsyncIteration
            return data

    def _report(self, *, is_last: bool) -> None:
        """Tell how far it is, and that the registry still takes bytes."""
        patience = self._delivery.client.patience
        wait_s = patience.finish_s if is_last else patience.window_s
        if not self._limit.expired():
            self._limit.reschedule(asyncio.get_running_loop().time() + wait_s)
        if is_last or self._position - self._reported >= 8 * _CHUNK:
            self._reported = self._position
            self._delivery.sent(self._position)

    async def close(self) -> None:
        """Close the file, once nobody reads it."""
        async with self._lock:
            self._file.close()
