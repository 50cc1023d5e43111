"""`docker pull`: manifest, then layers side by side, unpacked in order as they arrive."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO

from tiffin.engine.images.access import RegistryAccess, explained, together
from tiffin.engine.images.context import ImageContext, Progress
from tiffin.engine.images.transfers import Downloads
from tiffin.errors import Cancelled, DataLoss, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.images.index import MAX_MEMBERS, MAX_NESTING
from tiffin.images.lease import Lease
from tiffin.images.manifests import (
    MAX_DOCUMENT,
    assemble,
    check_is_image,
    has_blob,
    read_config,
    read_document,
    select,
)
from tiffin.images.write import put_blob
from tiffin.registry.client import RegistryClient, RemoteManifest
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.errors import RegistryError
from tiffin.spec.descriptor import INDEXES, MANIFESTS, Descriptor
from tiffin.spec.digest import Digest, hex_of
from tiffin.spec.ids import SHORT_LENGTH
from tiffin.spec.image import Manifest, parse_index, parse_manifest
from tiffin.spec.platform import Platform, host_platform, matches
from tiffin.spec.reference import Reference
from tiffin.wire.jsonmessage import JsonMessage, progress, status

_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What to pull. `reference` has a tag or a digest.

    With `all_platforms` the rest of an index comes along, attestations and all, not unpacked.
    """

    reference: Reference
    platform: Platform | None = None
    credentials: Credentials = ANONYMOUS
    all_platforms: bool = False


@dataclass(frozen=True, slots=True)
class Pulls:
    """Pulls images of this daemon."""

    context: ImageContext
    access: RegistryAccess
    downloads: Downloads

    async def pull(self, request: PullRequest, emit: Progress) -> Image:
        """Pull one image and name it; NotFound, RegistryError, DataLoss.

        `emit` gets Docker's lines; none before the registry has answered with a manifest.
        """
        reference = request.reference

        async def attempt(client: RegistryClient) -> Image:
            async with self.context.lease() as lease:
                return await _Pull(self, client, request, emit, lease).run()

        try:
            image = await self.access.each(
                reference.domain, request.credentials, attempt, mirrors=True
            )
        except RegistryError as error:
            raise explained(error, reference) from error
        except (DataLoss, InvalidArgument) as error:
            # Which layer is wrong the message says, of which image nobody else.
            raise type(error)(error.message, hint=f"while pulling {reference.familiar}") from error
        self.context.publish("pull", reference.familiar, reference.familiar_repository)
        return image

    async def tags(self, repository: Reference, credentials: Credentials) -> list[str]:
        """Return the tags that the registry has of a repository; NotFound, RegistryError."""

        async def attempt(client: RegistryClient) -> list[str]:
            return await client.tags(repository.path)

        try:
            return await self.access.each(repository.domain, credentials, attempt, mirrors=True)
        except RegistryError as error:
            raise explained(error, repository) from error


@dataclass(slots=True)
class _Pull:
    """One attempt at one endpoint."""

    pulls: Pulls
    client: RegistryClient
    request: PullRequest
    emit: Progress
    lease: Lease
    fetched: dict[int, asyncio.Event] = field(default_factory=dict)
    blobs: dict[int, BinaryIO] = field(default_factory=dict)
    """Layers that have come and are verified."""

    async def run(self) -> Image:
        reference = self.request.reference
        remote = await self._manifest(reference.digest or reference.tag)
        self.emit(
            JsonMessage(status=f"Pulling from {reference.path}", id=reference.tag or remote.digest)
        )
        target = remote.descriptor
        for _ in range(MAX_NESTING):
            if remote.descriptor.media_type not in INDEXES:
                break
            index = parse_index(remote.data)
            chosen = select(index, self.request.platform or host_platform())
            remote = await self._child(chosen)
        image = await self._image(remote)
        await self._layers(image)
        if self.request.all_platforms:
            await self._rest(target)
        return await self._finish(image, target)

    async def _rest(self, target: Descriptor) -> None:
        """Fetch all that an index names and that is not here."""
        pending, seen = [target], {target.digest}
        blobs: dict[Digest, Descriptor] = {}
        while pending:
            documents = [await self._child(entry) for entry in pending]
            pending = []
            for remote in documents:
                if remote.descriptor.media_type in MANIFESTS:
                    manifest = parse_manifest(remote.data)
                    blobs |= {each.digest: each for each in (manifest.config, *manifest.layers)}
                    continue
                for entry in parse_index(remote.data).manifests:
                    if entry.digest not in seen and (entry.is_index or entry.is_manifest):
                        seen.add(entry.digest)
                        pending.append(entry)
            if len(seen) > MAX_MEMBERS:
                raise InvalidArgument(f"index {target.digest}: more than {MAX_MEMBERS} manifests")
        self.lease.hold(*blobs)
        await together([self._blob(blob) for blob in blobs.values()])

    async def _blob(self, blob: Descriptor) -> None:
        path, name = self.request.reference.path, _short(blob.digest)
        if not has_blob(self.pulls.context.store.content, blob.digest):
            self.emit(status("Pulling fs layer", name))
        await self.pulls.downloads.fetch(self.client, path, blob, self._watcher(name, blob.size))
        self.pulls.context.store.records.add_source(blob.digest, self.request.reference)

    async def _manifest(self, tag_or_digest: str) -> RemoteManifest:
        """Fetch a manifest, unless it is here and (says the registry) still what is meant."""
        content = self.pulls.context.store.content
        remote = await self._known(tag_or_digest)
        if remote is None:
            remote = await self.client.manifest(self.request.reference.path, tag_or_digest)
        media_type = remote.descriptor.media_type
        if media_type not in MANIFESTS | INDEXES:
            raise InvalidArgument(f"unsupported manifest media type {media_type!r}")
        self.lease.hold(remote.digest)
        await self.pulls.context.run(put_blob, content, remote.digest, remote.data)
        return remote

    async def _child(self, entry: Descriptor) -> RemoteManifest:
        """Return the manifest of an index's entry, from the registry if it is not here."""
        self.lease.hold(entry.digest)
        data = await self._stored(entry.digest)
        if data is None:
            return await self._manifest(entry.digest)
        return RemoteManifest(entry, data)

    async def _stored(self, digest: Digest) -> bytes | None:
        """Return a document from the store, None if it is not there, or damaged."""
        context = self.pulls.context
        try:
            return await context.run(read_document, context.store.content, digest)
        except (NotFound, DataLoss):
            return None

    async def _known(self, tag_or_digest: str) -> RemoteManifest | None:
        """Return the manifest from the store where a HEAD, which no registry counts, will do."""
        store, reference = self.pulls.context.store, self.request.reference
        record = store.find(reference)
        if record is None or tag_or_digest != (reference.digest or reference.tag):
            return None
        try:
            digest = await self.client.resolve(reference.path, tag_or_digest)
        except RegistryError as error:
            if not error.status:
                raise
            return None  # only the answer to a GET has words
        if digest != record.target.digest:
            return None
        self.lease.hold(digest)
        data = await self._stored(digest)
        return RemoteManifest(record.target, data) if data is not None else None

    async def _image(self, remote: RemoteManifest) -> Image:
        manifest: Manifest = parse_manifest(remote.data)
        check_is_image(manifest)
        if manifest.config.size > MAX_DOCUMENT:
            raise InvalidArgument(f"{manifest.config.digest} is too large for an image config")
        self.lease.hold(manifest.config.digest, *(layer.digest for layer in manifest.layers))
        await self.pulls.downloads.fetch(
            self.client, self.request.reference.path, manifest.config, lambda _state, _size: None
        )
        config = await self.pulls.context.run(
            read_config, self.pulls.context.store.content, manifest.config.digest
        )
        image = assemble(remote.descriptor, manifest, config)
        check_platform(image, self.request.platform, self.request.reference.familiar)
        return image

    async def _layers(self, image: Image) -> None:
        chain = image.config.chain_ids()
        self.lease.hold(*chain)
        self.fetched = {index: asyncio.Event() for index in range(len(chain))}
        downloads = [
            self._download(index, layer, chain[index]) for index, layer in enumerate(image.layers)
        ]
        for layer in image.layers:
            self.emit(status("Pulling fs layer", _short(layer.digest)))
        try:
            await together([*downloads, self._unpack(image)])
        finally:
            for blob in self.blobs.values():
                blob.close()

    async def _download(self, index: int, layer: Descriptor, chain_id: str) -> None:
        """Bring a layer here; it may be unpacked while it is being made durable."""
        store = self.pulls.context.store
        name = _short(layer.digest)

        def receive(blob: BinaryIO) -> None:
            self.blobs[index] = blob
            self.fetched[index].set()

        if has_blob(store.content, layer.digest) and store.unpacker.has(Digest(chain_id)):
            self.emit(status("Already exists", name))
        else:
            await self.pulls.downloads.fetch(
                self.client, self.request.reference.path, layer,
                self._watcher(name, layer.size), receive,
            )  # fmt: skip
        store.records.add_source(layer.digest, self.request.reference)
        self.fetched[index].set()

    def _watcher(self, name: str, total: int) -> Callable[[str, int], None]:
        def watch(state: str, current: int) -> None:
            if state == "Downloading":
                self.emit(progress(state, name, current, total))
            else:
                self.emit(status(state, name))

        return watch

    async def _unpack(self, image: Image) -> None:
        """Unpack the layers from the lowest up, each as soon as it is here."""
        store = self.pulls.context.store
        parent = ""
        layers = zip(image.layers, image.config.diff_ids, image.config.chain_ids(), strict=True)
        for index, (layer, diff_id, chain_id) in enumerate(layers):
            await self.fetched[index].wait()
            if not store.unpacker.has(chain_id):
                name = _short(layer.digest)
                reporter = LayerReporter(self.emit, "Extracting", name, layer.size)
                await self.pulls.context.run_stoppable(
                    reporter.stop, store.unpacker.layer,
                    layer, diff_id, parent, chain_id, reporter.on_read, self.blobs.pop(index, None),
                )  # fmt: skip
                self.emit(status("Pull complete", name))
            parent = chain_id

    async def _finish(self, image: Image, target: Descriptor) -> Image:
        reference = self.request.reference
        store = self.pulls.context.store
        names = [(reference.with_digest(target.digest), target)]
        if not reference.digest:
            names.insert(0, (reference, target))
        known = all(store.is_named(image, name) for name, _ in names)
        await self.pulls.context.run(store.add, image, names)
        self.emit(JsonMessage(status=f"Digest: {target.digest}"))
        news = "Image is up to date for" if known else "Downloaded newer image for"
        self.emit(JsonMessage(status=f"Status: {news} {reference.familiar}"))
        return store.get(image.id)


def check_platform(image: Image, wanted: Platform | None, name: str) -> None:
    """Raise NotFound in Docker's words if the image is for another platform."""
    offered = image.config.platform
    if wanted is not None and offered.architecture and not matches(wanted, offered):
        raise NotFound(
            f"image with reference {name} was found but its platform ({offered}) does not match "
            f"the specified platform ({wanted})"
        )


class LayerReporter:
    """Carries the progress of a layer from a worker thread to the event loop, and `stop` back."""

    def __init__(
        self, emit: Progress, text: str, name: str, total: int,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:  # fmt: skip
        self._emit = emit
        self._text = text
        self._name = name
        self._total = total
        self.loop = loop or asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._reported_at = 0.0

    def stop(self) -> None:
        """Make the worker give up at its next read."""
        self._stopped.set()

    def check(self) -> None:
        """Raise Cancelled if it was stopped; in the worker's thread."""
        if self._stopped.is_set():
            raise Cancelled("the operation was cancelled")

    def on_read(self, position: int) -> None:
        """Report in the loop's thread, ten times a second at most; Cancelled if it was stopped."""
        self.check()
        now = time.monotonic()
        if now - self._reported_at >= _INTERVAL_S or position >= self._total:
            self._reported_at = now
            message = progress(self._text, self._name, position, self._total)
            self.loop.call_soon_threadsafe(self._emit, message)


def _short(digest: Digest) -> str:
    return hex_of(digest)[:SHORT_LENGTH]
