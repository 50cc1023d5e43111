"""Whether what is stored of images is still what it was: every blob hashed, every layer measured."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tiffin.content.store import ContentStore
from tiffin.errors import InvalidArgument, NotFound
from tiffin.fs.usage import measure
from tiffin.images.manifests import children, has_blob
from tiffin.images.store import ImageStore
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import Digest, algorithm_of, hex_of
from tiffin.state.images import ImageRecord

_CHUNK = 1 << 20


class Fault(StrEnum):
    """What can be wrong with a blob."""

    MISSING = "missing"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Part:
    """A blob of an image. `role` is `index`, `manifest`, `config` or `layer`.

    Of what an index names there may be less than all here.
    """

    descriptor: Descriptor
    role: str
    of_index: bool = False


def check_blob(content: ContentStore, digest: Digest, stopped: threading.Event) -> Fault | None:
    """Read a blob and compare it with its digest; None if it is right, or if it is `stopped`."""
    hasher = hashlib.new(algorithm_of(digest))
    try:
        with content.open(digest) as file:
            while not stopped.is_set() and (data := file.read(_CHUNK)):
                hasher.update(data)
    except NotFound:
        return Fault.MISSING
    if stopped.is_set() or hasher.hexdigest() == hex_of(digest):
        return None
    return Fault.DAMAGED


def documents(store: ImageStore, record: ImageRecord) -> Iterator[Part]:
    """Yield the blobs that name other blobs: what they name is known once they are right."""
    seen = {record.manifest.digest}
    yield Part(record.manifest, "manifest")
    for reference in store.records.references(record.id):
        if reference.target.digest not in seen:
            seen.add(reference.target.digest)
            yield Part(reference.target, "index" if reference.target.is_index else "manifest")


def parts(store: ImageStore, document: Part) -> Iterator[Part]:
    """Yield what a right document names; of an index only what is here, for it may lack the rest."""
    is_index = document.role == "index"
    try:
        named = children(store.content, document.descriptor)
    except InvalidArgument:
        if not document.of_index:
            raise
        return  # its bytes are right: it came like that
    for child in named:
        if (is_index or document.of_index) and not has_blob(store.content, child.digest):
            continue
        if is_index:
            yield Part(child, "index" if child.is_index else "manifest", of_index=True)
        else:
            yield Part(child, "config" if child.digest == _config(store, document) else "layer")


def changed_layers(store: ImageStore, record: ImageRecord) -> Iterator[str]:
    """Yield the chain IDs of unpacked layers that are gone, or of another size than when made."""
    for chain_id in store.get(record.id).config.chain_ids():
        try:
            files = store.snapshotter.upper(chain_id)
            size = None if files is None else measure(files)[0]
        except (NotFound, FileNotFoundError):
            yield chain_id
            continue
        recorded = store.records.layer_size(chain_id)
        if size is not None and recorded not in (None, size):
            yield chain_id


def _config(store: ImageStore, document: Part) -> Digest:
    return children(store.content, document.descriptor)[0].digest
