"""Images from archives: OCI image layouts, and `manifest.json` archives of any age.

A layout's own index comes first, since it keeps the manifests' digests; names come from either.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from tiffin.errors import DataLoss, InvalidArgument, NotFound
from tiffin.images.archive import Blob, Members, take_in
from tiffin.images.image import Image
from tiffin.images.index import Kind, choose, images_here, platform_of
from tiffin.images.index import members as manifests_behind
from tiffin.images.lease import Lease
from tiffin.images.manifests import (
    NotAnImage,
    assemble,
    blob_path,
    has_blob,
    is_attestation,
    read_config,
    read_image,
)
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
from tiffin.spec.platform import Platform, host_platform, matches, rank
from tiffin.spec.reference import Reference, parse_reference

IMAGE_NAME = "io.containerd.image.name"
REF_NAME = "org.opencontainers.image.ref.name"
_LAYER_TYPES = {
    Compression.NONE: OCI_LAYER,
    Compression.GZIP: OCI_LAYER_GZIP,
    Compression.ZSTD: OCI_LAYER_ZSTD,
}


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


def load(
    store: ImageStore, stream: Source, platform: Platform | None, on_layer: OnLayer
) -> list[Loaded]:
    """Load all images of an archive, or those of a platform; nothing stays if this fails.

    An index is kept with all that the archive has of it; what its name means where no platform is
    asked for, which is this machine's image if there is one, is unpacked. InvalidArgument says
    what is wrong with the archive; DataLoss where bytes do not match.
    """
    with store.lease() as lease:
        members = take_in(store.content, lease, stream)
        found = list(_find(store, lease, members, platform))
        if not found:
            wanted = f"image for platform {platform}" if platform is not None else "image"
            raise InvalidArgument(f"invalid archive: no {wanted}")
        for item in found:
            _unpack(store, lease, item, on_layer)
        loaded = [_add(store, item) for item in found]
        if platform is not None:
            _pass_over(store, lease, members, found)
        return loaded


def _unpack(store: ImageStore, lease: Lease, item: _Found, on_layer: OnLayer) -> None:
    """Unpack an image's layers; what is wrong with one is told with the image's name."""
    name = item.names[0].familiar if item.names else item.image.id
    try:
        _unpack_layers(store, lease, item.image, on_layer)
    except (InvalidArgument, DataLoss) as error:
        raise type(error)(error.message, hint=f"while loading {name}") from error


def _unpack_layers(store: ImageStore, lease: Lease, image: Image, on_layer: OnLayer) -> None:
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


def _pass_over(store: ImageStore, lease: Lease, members: Members, found: Iterable[_Found]) -> None:
    """Let go of what came along with indexes of which one platform was asked for."""
    wanted = {item.image.manifest.digest for item in found}
    for item in found:
        for member in manifests_behind(store.content, item.target):
            digest = member.descriptor.digest
            if digest in members.new and not wanted & {digest, Digest(member.subject)}:
                store.pass_over(digest, lease)


def _find(
    store: ImageStore, lease: Lease, members: Members, platform: Platform | None
) -> Iterable[_Found]:
    entries = _docker_entries(members)
    if "index.json" in members.documents:
        names: dict[Digest, list[Reference]] = {}
        for entry in entries:
            config = members.blob(as_string(entry.get("Config"), "manifest.json: Config"))
            names.setdefault(config.digest, []).extend(_tags(entry))
        index = Index.from_json(decode_object(members.documents["index.json"], "index.json"))
        return _Layout(store, lease, platform).images(index, names)
    if not entries:
        raise InvalidArgument("invalid archive: it has neither manifest.json nor index.json")
    found = [_from_docker(store, lease, members, entry) for entry in entries]
    return [
        item for item in found if platform is None or matches(platform, item.image.config.platform)
    ]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Reads an OCI image layout whose blobs are in the content store."""

    store: ImageStore
    lease: Lease
    platform: Platform | None

    def images(self, index: Index, names: dict[Digest, list[Reference]]) -> Iterable[_Found]:
        """Return what the layout's own index lists; `names` by image id are given elsewhere."""
        found: dict[Digest, _Found] = {}
        foreign: NotAnImage | None = None
        for entry in index.manifests:
            if is_attestation(entry) or not (entry.is_index or entry.is_manifest):
                continue
            self._require(entry.digest)
            try:
                image = self._choose(entry)
            except NotAnImage as error:
                foreign = error
                continue
            if image is None:
                continue  # no image for this platform behind this entry; others may have one
            before = found.get(image.id)
            more = (*(before.names if before else ()), *_annotated(entry), *names.get(image.id, ()))
            target = Descriptor(entry.media_type, entry.digest, entry.size)
            found[image.id] = _Found(image, tuple(dict.fromkeys(more)), target)
        if foreign is not None and not found:
            raise foreign
        return _once_named(found.values())

    def _choose(self, entry: Descriptor) -> Image | None:
        """Return the image of an entry; None if it has none for the platform."""
        content, platform = self.store.content, self.platform
        if not entry.is_index:
            image = self._read(entry)
            fits = platform is None or matches(platform, image.config.platform)
            return image if fits else None
        chosen = choose(content, entry, platform or host_platform())
        if chosen is None and platform is None:
            chosen = next(iter(images_here(content, entry)), None)
        if chosen is None:
            chosen = next(self._incomplete(entry), None)  # to say what is missing
        return None if chosen is None else self._read(chosen)

    def _incomplete(self, entry: Descriptor) -> Iterator[Descriptor]:
        content = self.store.content
        for member in manifests_behind(content, entry):
            offered = platform_of(content, member) if member.kind is Kind.IMAGE else None
            if offered is None or not has_blob(content, member.descriptor.digest):
                continue
            if self.platform is None or rank(self.platform, offered) is not None:
                yield member.descriptor

    def _read(self, descriptor: Descriptor) -> Image:
        try:
            image = read_image(self.store.content, descriptor)
        except NotFound as error:
            raise InvalidArgument(f"invalid archive: {error.message}") from error
        for digest in (descriptor.digest, image.id, *(layer.digest for layer in image.layers)):
            self._require(digest)
        return image

    def _require(self, digest: Digest) -> None:
        """Hold what the archive brought, or what is here without it."""
        self.lease.hold(digest)
        if not has_blob(self.store.content, digest):
            raise InvalidArgument(f"invalid archive: {blob_path(digest)!r} is missing")


def _once_named(found: Iterable[_Found]) -> list[_Found]:
    """Leave a name that several images have to the one for this machine."""
    items = list(found)
    host = host_platform()
    items_by_fitness = sorted(
        items, key=lambda item: rank(host, item.image.config.platform) is not None
    )
    owners = {name: item.image.id for item in items_by_fitness for name in item.names}
    return [
        replace(item, names=tuple(name for name in item.names if owners[name] == item.image.id))
        for item in items
    ]


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
