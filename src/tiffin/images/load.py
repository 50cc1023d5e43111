"""Images from archives: OCI image layouts, and `manifest.json` archives of any age.

A layout's own index comes first, since it keeps the manifests' digests; names come from either.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tiffin.errors import InvalidArgument, NotFound
from tiffin.images.archive import Blob, Members, take_in
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.images.manifests import assemble, read_config, read_image, read_index, select
from tiffin.images.store import ImageStore
from tiffin.images.unpack import OnRead
from tiffin.images.write import write_blob
from tiffin.layers.compression import Compression, Source, sniff
from tiffin.spec.descriptor import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    OCI_MANIFEST,
    Descriptor,
    as_array,
    as_object,
    as_string,
    as_strings,
    decode_object,
)
from tiffin.spec.digest import DiffId, Digest
from tiffin.spec.image import Index, Manifest
from tiffin.spec.platform import Platform
from tiffin.spec.reference import Reference, parse_reference

IMAGE_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
_ATTESTATION = "vnd.docker.reference.type"
_LAYER_TYPES = {
    Compression.NONE: OCI_LAYER,
    Compression.GZIP: OCI_LAYER_GZIP,
    Compression.ZSTD: OCI_LAYER_ZSTD,
}
_MAX_NESTING = 4


@dataclass(frozen=True, slots=True)
class Loaded:
    """One image that was loaded; `replaced` are the images that lost a name to it."""

    image: Image
    names: tuple[Reference, ...]
    replaced: tuple[tuple[Reference, Digest], ...] = ()


@dataclass(frozen=True, slots=True)
class _Found:
    """An image of the archive, its names, and the descriptor that they stand for."""

    image: Image
    names: tuple[Reference, ...]
    target: Descriptor


OnLayer = Callable[[DiffId, int], OnRead]
"""Told that a layer (diff ID, size of its blob) begins; returns who follows its progress."""


def load(store: ImageStore, stream: Source, platform: Platform, on_layer: OnLayer) -> list[Loaded]:
    """Load all images of an archive that fit `platform`; nothing stays if this fails.

    InvalidArgument says what is wrong with the archive; DataLoss where bytes do not match.
    """
    with store.lease() as lease:
        members = take_in(store.content, lease, stream)
        found = list(_find(store, lease, members, platform))
        if not found:
            raise InvalidArgument(f"invalid archive: no image for platform {platform}")
        for item in found:
            _unpack(store, lease, item.image, on_layer)
        return [_add(store, item) for item in found]


def _unpack(store: ImageStore, lease: Lease, image: Image, on_layer: OnLayer) -> None:
    chain = image.config.chain_ids()
    lease.hold(*chain)
    parent = ""
    for layer, diff_id, chain_id in zip(image.layers, image.config.diff_ids, chain, strict=True):
        if not store.unpacker.has(chain_id):
            store.unpacker.layer(layer, diff_id, parent, chain_id, on_layer(diff_id, layer.size))
        parent = chain_id


def _add(store: ImageStore, item: _Found) -> Loaded:
    replaced = [
        (name, previous.image_id)
        for name in item.names
        if (previous := store.find(name)) is not None and previous.image_id != item.image.id
    ]
    store.add(item.image, [(name, item.target) for name in item.names])
    return Loaded(store.get(item.image.id), item.names, tuple(replaced))


def _find(
    store: ImageStore, lease: Lease, members: Members, platform: Platform
) -> Iterable[_Found]:
    entries = _docker_entries(members)
    if "index.json" in members.documents:
        names: dict[Digest, list[Reference]] = {}
        for entry in entries:
            config = members.blob(as_string(entry.get("Config"), "manifest.json: Config"))
            names.setdefault(config.digest, []).extend(_tags(entry))
        index = Index.from_json(decode_object(members.documents["index.json"], "index.json"))
        return _from_layout(store, members, index, names, platform)
    if not entries:
        raise InvalidArgument("invalid archive: it has neither manifest.json nor index.json")
    return [_from_docker(store, lease, members, entry) for entry in entries]


def _from_layout(
    store: ImageStore, members: Members, index: Index, names: dict[Digest, list[Reference]],
    platform: Platform,
) -> Iterable[_Found]:  # fmt: skip
    found: dict[Digest, _Found] = {}
    for entry in index.manifests:
        if entry.annotations.get(_ATTESTATION) or not (entry.is_index or entry.is_manifest):
            continue
        try:
            manifest = _choose(store, members, entry, platform)
        except NotFound:
            continue  # no image for this platform behind this entry; others may have one
        image = _read(store, members, manifest)
        previous = found.get(image.id)
        more = (*(previous.names if previous else ()), *_annotated(entry), *names.get(image.id, ()))
        found[image.id] = _Found(image, tuple(dict.fromkeys(more)), entry)
    return found.values()


def _choose(
    store: ImageStore, members: Members, entry: Descriptor, platform: Platform
) -> Descriptor:
    """Go down an index to the manifest for `platform`; NotFound if it has none."""
    for _ in range(_MAX_NESTING):
        _require(members, entry.digest)
        if not entry.is_index:
            return entry
        entry = select(read_index(store.content, entry.digest), platform)
    raise InvalidArgument("invalid archive: indexes are nested too deep")


def _read(store: ImageStore, members: Members, descriptor: Descriptor) -> Image:
    try:
        image = read_image(store.content, descriptor)
    except NotFound as error:
        raise InvalidArgument(f"invalid archive: {error.message}") from error
    for layer in image.layers:
        _require(members, layer.digest)
    _require(members, image.id)
    return image


def _require(members: Members, digest: Digest) -> None:
    members.blob(f"blobs/{digest.replace(':', '/')}")


def _from_docker(
    store: ImageStore, lease: Lease, members: Members, entry: dict[str, Any]
) -> _Found:
    """Make a manifest for an image that comes without one."""
    stored = members.blob(as_string(entry.get("Config"), "manifest.json: Config"))
    layers = [
        _layer(members.blob(name))
        for name in as_strings(entry.get("Layers"), "manifest.json: Layers") or ()
    ]
    config = Descriptor(OCI_CONFIG, stored.digest, stored.size)
    manifest = Manifest(config, tuple(layers))
    target = write_blob(store.content, lease, manifest.encode(), OCI_MANIFEST)
    image = assemble(target, manifest, read_config(store.content, stored.digest))
    return _Found(image, tuple(_tags(entry)), target)


def _layer(blob: Blob) -> Descriptor:
    # A layer of some other compression is named plain: whoever unpacks it looks at its bytes.
    media_type = _LAYER_TYPES.get(sniff(blob.head), OCI_LAYER)
    return Descriptor(media_type, blob.digest, blob.size)


def _docker_entries(members: Members) -> list[dict[str, Any]]:
    data = members.documents.get("manifest.json")
    if data is None:
        return []
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"invalid manifest.json: {error}") from error
    return [as_object(item, "manifest.json") for item in as_array(document, "manifest.json")]


def _tags(entry: dict[str, Any]) -> list[Reference]:
    tags = as_strings(entry.get("RepoTags"), "manifest.json: RepoTags") or ()
    return [parse_reference(tag).with_default_tag() for tag in tags]


def _annotated(entry: Descriptor) -> list[Reference]:
    name = entry.annotations.get(IMAGE_NAME, "")
    if not name:
        name = entry.annotations.get(REF_NAME, "")
        if not any(mark in name for mark in ":/"):
            return []  # a bare tag names no repository
    return [parse_reference(name).with_default_tag()]
