"""An image of one layer from the tar of a root filesystem (`docker import`)."""

import hashlib
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from tiffin.errors import AlreadyExists, InvalidArgument
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.images.mutate import Draft
from tiffin.images.store import ImageStore
from tiffin.images.write import abandoned, create_image
from tiffin.layers.bounds import bounded
from tiffin.layers.compression import Source
from tiffin.spec.descriptor import OCI_LAYER, Descriptor
from tiffin.spec.digest import Digest
from tiffin.spec.image import History, ImageConfig
from tiffin.spec.reference import Reference

_CHUNK = 1 << 20


def import_tarball(
    store: ImageStore, stream: Source, config: ImageConfig, history: History,
    names: Sequence[Reference] = (),
) -> Image:  # fmt: skip
    """Make an image of the (possibly compressed) tar in `stream`; nothing stays if this fails.

    `config` has everything but the layer. InvalidArgument if the stream is no archive.
    """
    with store.lease() as lease:
        layer = ingest_plain(store, lease, stream)
        if layer.size == 0:
            raise InvalidArgument("Error processing tar file: the archive is empty")
        base = Draft(replace(config, history=()))
        draft = base.append_layer(layer, layer.digest, history)
        return create_image(store.content, store, draft.config, draft.layers, names=names)


def ingest_plain(store: ImageStore, lease: Lease, stream: Source) -> Descriptor:
    """Store a layer uncompressed, so that its digest is its diff ID; the lease holds it."""
    hasher = hashlib.sha256()
    size = 0
    source = bounded(stream)
    with store.content.writer(f"import-{secrets.token_hex(16)}") as writer, abandoned(writer):
        while chunk := source.read(_CHUNK):
            hasher.update(chunk)
            writer.write(chunk)
            size += len(chunk)
        digest = Digest(f"sha256:{hasher.hexdigest()}")
        lease.hold(digest)
        with suppress(AlreadyExists):
            writer.commit(expected=digest, size=size)
    return Descriptor(OCI_LAYER, digest, size)
