"""Making an image out of a config and layer blobs that are in the content store."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from tiffin.content.store import ContentStore, IngestWriter
from tiffin.errors import AlreadyExists, InvalidArgument
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.images.manifests import assemble, has_blob
from tiffin.images.store import ImageStore
from tiffin.spec.descriptor import OCI_CONFIG, OCI_LAYERS, OCI_MANIFEST, Descriptor
from tiffin.spec.digest import Digest, digest_bytes
from tiffin.spec.image import ImageConfig, Manifest
from tiffin.spec.reference import Reference


def create_image(
    content: ContentStore,
    store: ImageStore,
    config: ImageConfig,
    layers: Sequence[Descriptor],
    *,
    names: Sequence[Reference] = (),
    parent: str = "",
) -> Image:
    """Store config and manifest, unpack layers that are not, and make the image known.

    `layers` go with `config.rootfs.diff_ids`; their blobs must be in `content`, and the caller
    keeps them by a lease until this returns. Snapshots that exist under the right chain IDs are
    taken as they are. `parent` is the id of the image it was made from. Making an image that
    exists adds the names only. InvalidArgument if layers and config do not fit.
    """
    if len(layers) != len(config.diff_ids):
        raise InvalidArgument(
            f"{len(layers)} layers do not fit a config of {len(config.diff_ids)} diff IDs"
        )
    data = config.encode()
    with store.lease() as lease:
        stored = write_blob(content, lease, data, OCI_CONFIG)
        manifest = Manifest(stored, tuple(_as_oci(layer) for layer in layers))
        target = write_blob(content, lease, manifest.encode(), OCI_MANIFEST)
        image = assemble(target, manifest, config)
        lease.hold(*(layer.digest for layer in layers), *config.chain_ids())
        store.unpacker.image(image)
        store.add(image, [(name.with_default_tag(), target) for name in names], parent)
        if names:
            store.records.mark_tagged(image.id)
    return store.get(image.id)


def _as_oci(layer: Descriptor) -> Descriptor:
    """Return a layer of a Docker image by its OCI type: registries refuse mixtures."""
    return replace(layer, media_type=OCI_LAYERS.get(layer.media_type, layer.media_type))


def write_blob(content: ContentStore, lease: Lease, data: bytes, media_type: str) -> Descriptor:
    """Store a small blob under a lease; nothing happens if it is there."""
    digest = digest_bytes(data)
    lease.hold(digest)
    put_blob(content, digest, data)
    return Descriptor(media_type, digest, len(data))


def put_blob(content: ContentStore, digest: Digest, data: bytes) -> None:
    """Store a small blob; DataLoss if `data` is not what `digest` says."""
    if has_blob(content, digest):
        return
    with content.writer(f"document-{secrets.token_hex(16)}") as writer, abandoned(writer):
        writer.write(data)
        with suppress(AlreadyExists):
            writer.commit(expected=digest, size=len(data))


@contextmanager
def abandoned(writer: IngestWriter) -> Iterator[None]:
    """Drop the ingest if the block fails, since nobody could resume it."""
    try:
        yield
    except BaseException:
        writer.abort()
        raise
