"""`docker push`: layers side by side, each only if the registry lacks it, then the manifest.

Layers that were made here are plain tars; they are compressed once and the result is kept, so that
a second push of the same layer to anywhere finds it. An image that was pulled is pushed as it came,
digest and all.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from tiffin.engine.images.access import RegistryAccess, together
from tiffin.engine.images.context import ImageContext, Progress
from tiffin.engine.images.delivery import BlobDelivery, OnSent
from tiffin.engine.images.push_index import IndexPush
from tiffin.errors import AlreadyExists, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.images.index import is_whole
from tiffin.images.lease import Lease
from tiffin.images.manifests import has_blob, read_manifest
from tiffin.images.platforms import for_platform
from tiffin.images.store import ImageStore, names_of
from tiffin.images.write import abandoned, write_blob
from tiffin.layers.compression import Compression, compressor, decompressor
from tiffin.registry.client import RegistryClient
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.errors import RegistryError
from tiffin.registry.upload import Upload
from tiffin.spec.descriptor import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    FOREIGN_LAYERS,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
)
from tiffin.spec.digest import DiffId, Digest, hex_of
from tiffin.spec.ids import SHORT_LENGTH, short
from tiffin.spec.image import Manifest
from tiffin.spec.platform import Platform
from tiffin.spec.reference import Reference
from tiffin.state.images import ReferenceRecord
from tiffin.wire.jsonmessage import JsonMessage, progress, status

_CHUNK = 1 << 20
_MAX_MOUNTS = 1
_PLAIN = frozenset((OCI_LAYER, DOCKER_LAYER))


@dataclass(frozen=True, slots=True)
class Pushes:
    """Pushes images of this daemon; `places` is Docker's `max-concurrent-uploads`."""

    context: ImageContext
    access: RegistryAccess
    places: asyncio.Semaphore

    async def push(
        self, reference: Reference, emit: Progress, credentials: Credentials = ANONYMOUS,
        platform: Platform | None = None,
    ) -> None:  # fmt: skip
        """Push one tag, or all tags of a bare repository; NotFound, RegistryError.

        A tag of an index takes all of it along, or what it has for `platform` alone.
        """
        if reference.digest:
            raise InvalidArgument("cannot push a digest reference")
        records = self._records(reference)
        emit(status(f"The push refers to repository [{reference.repository}]"))

        async def attempt(client: RegistryClient) -> None:
            for record in records:
                image = await self.context.run(
                    for_platform, self.context.store, str(record.reference), platform
                )
                async with self.context.lease() as lease:
                    push = _Push(self, client, record.reference, emit, lease)
                    await push.run(image, record.target if platform is None else image.manifest)

        await self.access.each(reference.domain, credentials, attempt)
        for record in records:
            name = record.reference
            self.context.publish("push", name.familiar, name.familiar_repository)

    def _records(self, reference: Reference) -> list[ReferenceRecord]:
        of_repository = [
            record
            for record in self.context.store.records.all_references()
            if record.reference.bare() == reference.bare() and record.reference.tag
        ]
        if not of_repository:
            raise NotFound(
                f"An image does not exist locally with the tag: {reference.familiar_repository}"
            )
        found = [r for r in of_repository if reference.is_bare or r.reference == reference]
        if not found:
            raise NotFound(f"tag does not exist: {reference.familiar}")
        return found


@dataclass(frozen=True, slots=True)
class _Push:
    """One image to one endpoint, under one tag."""

    pushes: Pushes
    client: RegistryClient
    reference: Reference
    emit: Progress
    lease: Lease

    async def run(self, image: Image, target: Descriptor) -> None:
        """Push what a name stands for: an index if all of it can be there, or else the image."""
        store = self.pushes.context.store
        self.lease.hold(*names_of(image))
        if not is_whole(store.content, image.manifest):
            raise NotFound(f"No such image: {image.id}")
        index = IndexPush(self.pushes.context, self.client, self.reference.path, self._blob)
        if not target.is_index:
            await self._image(image)
        elif await index.can_be_whole(target, self.lease):
            data = await index.run(target)
            await self._name(image, target, data)
        else:
            # The index would promise what nobody could pull.
            pushed = await self._image(image)
            told = {
                "manifestPushedInsteadOfIndex": True,
                "originalIndex": target.to_json(),
                "selectedManifest": pushed.to_json(),
            }
            self.emit(JsonMessage(aux=told))

    async def _image(self, image: Image) -> Descriptor:
        context = self.pushes.context
        store = context.store
        for diff_id in reversed(image.config.diff_ids):
            self.emit(status("Preparing", short(diff_id)))
        stored = await context.run(read_manifest, store.content, image.manifest.digest)
        layers: dict[int, Descriptor] = {}
        await together(
            [self._layer(image, index, layers) for index in reversed(range(len(image.layers)))]
        )
        await self._upload(stored.config, "", _unreported)
        manifest = distributable(stored, [layers[index] for index in range(len(layers))])
        data = manifest.encode()
        target = image.manifest
        if manifest != stored:
            target = await context.run(
                write_blob, store.content, self.lease, data, manifest.media_type
            )
        else:
            with store.content.open(target.digest) as file:
                data = await context.run(file.read)
        await self._name(image, target, data)
        return target

    async def _name(self, image: Image, target: Descriptor, data: bytes) -> None:
        context, store = self.pushes.context, self.pushes.context.store
        await self.client.put_manifest(self.reference.path, self.reference.tag, target, data)
        by_digest = self.reference.with_digest(target.digest)
        await context.run(store.add_digest, image, by_digest, target)
        tag = self.reference.tag
        self.emit(status(f"{tag}: digest: {target.digest} size: {target.size}"))
        aux = {"Tag": tag, "Digest": target.digest, "Size": target.size}
        self.emit(JsonMessage(aux=aux, has_progress=True))

    async def _layer(self, image: Image, index: int, layers: dict[int, Descriptor]) -> None:
        diff_id = image.config.diff_ids[index]
        name = short(diff_id)
        if self.pushes.places.locked():
            self.emit(status("Waiting", name))
        async with self.pushes.places:
            layer = await self.pushes.context.run(
                compressed, self.pushes.context.store, self.lease, image.layers[index], diff_id
            )
            layers[index] = layer

            def sent(position: int) -> None:
                self.emit(progress("Pushing", name, position, layer.size))

            outcome = await self._upload(layer, name, sent)
        self.emit(status(outcome, name))
        self.pushes.context.store.records.add_source(layer.digest, self.reference)

    async def _blob(self, blob: Descriptor) -> None:
        """Bring a blob to the repository as it is."""
        name = hex_of(blob.digest)[:SHORT_LENGTH]

        def sent(position: int) -> None:
            self.emit(progress("Pushing", name, position, blob.size))

        async with self.pushes.places:
            outcome = await self._upload(blob, name, sent)
        self.emit(status(outcome, name))
        self.pushes.context.store.records.add_source(blob.digest, self.reference)

    async def _upload(self, blob: Descriptor, name: str, sent: OnSent) -> str:
        """Bring a blob to the repository; return how, in Docker's words."""
        path = self.reference.path
        if blob.media_type in FOREIGN_LAYERS and blob.urls:
            return "Skipped foreign layer"
        if await self.client.has_blob(path, blob.digest):
            return "Layer already exists"
        upload: Upload | None = None
        for source in self._sources(blob.digest):
            upload = await self._mount(blob.digest, source)
            if upload is None:
                return f"Mounted from {source}"

        def retrying() -> None:
            if name:
                self.emit(status("Retrying", name))

        delivery = BlobDelivery(self.pushes.context, self.client, path, blob, sent, retrying)
        await delivery.run(upload)
        return "Pushed"

    def _sources(self, digest: Digest) -> list[str]:
        """Return the repositories of the same registry that the blob may be mounted from."""
        records = self.pushes.context.store.records
        sources = records.sources(digest, self.reference.domain)
        return [each for each in sources if each != self.reference.path][:_MAX_MOUNTS]

    async def _mount(self, digest: Digest, source: str) -> Upload | None:
        """Try to mount; a registry that refuses the source is asked for a plain upload."""
        try:
            return await self.client.mount(self.reference.path, digest, source)
        except RegistryError as error:
            if error.status not in (401, 403, 404):
                raise
            return await self.client.begin_upload(self.reference.path)


def distributable(manifest: Manifest, layers: list[Descriptor]) -> Manifest:
    """Return the manifest with its layers as they are in the registry; itself if they were."""
    if list(manifest.layers) == layers:
        return manifest
    # One kind of media types throughout: some registries refuse a mixture.
    is_oci = manifest.config.media_type == OCI_CONFIG
    media_type = OCI_MANIFEST if is_oci else DOCKER_MANIFEST
    return replace(manifest, layers=tuple(layers), media_type=media_type)


def compressed(store: ImageStore, lease: Lease, layer: Descriptor, diff_id: DiffId) -> Descriptor:
    """Return a plain layer in its compressed form, which is made if it is not here yet."""
    if layer.media_type not in _PLAIN:
        return layer
    known = store.records.compressed(diff_id)
    if known is not None:
        lease.hold(known.digest)
        if has_blob(store.content, known.digest):
            return known
    hasher = hashlib.sha256()
    content = store.content
    with content.writer(f"push-{secrets.token_hex(16)}") as writer, abandoned(writer):
        sink = _HashingSink(writer.write, hasher.update)
        packer = compressor(Compression.GZIP, sink)
        with content.open(layer.digest) as file:
            plain = decompressor(file)
            while data := plain.read(_CHUNK):
                packer.write(data)
        packer.finish()
        digest = Digest(f"sha256:{hasher.hexdigest()}")
        size = writer.offset
        lease.hold(digest)
        with suppress(AlreadyExists):
            writer.commit(expected=digest, size=size)
    media_type = DOCKER_LAYER_GZIP if layer.media_type == DOCKER_LAYER else OCI_LAYER_GZIP
    made = Descriptor(media_type, digest, size)
    store.records.set_compressed(diff_id, made)
    return made


@dataclass(frozen=True, slots=True)
class _HashingSink:
    """Writes and hashes."""

    sink: Callable[[bytes | memoryview], object]
    update: Callable[[bytes | memoryview], object]

    def write(self, data: bytes | memoryview, /) -> object:
        self.update(data)
        return self.sink(data)


def _unreported(_position: int) -> None:
    pass
