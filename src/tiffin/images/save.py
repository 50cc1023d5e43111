"""Images to archives: an OCI image layout that `docker load` of any age reads too.

```
oci-layout  index.json  manifest.json  repositories  blobs/<algorithm>/<hex>
```
What describes the archive comes first, so that a reader can tell early what it gets.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tiffin.content.store import ContentStore
from tiffin.errors import NotFound
from tiffin.fs.tar import Entry, EntryKind
from tiffin.fs.tar.writer import encode_entry
from tiffin.images.image import Image
from tiffin.images.index import Kind, images_here, indexes, is_whole, members, walk
from tiffin.images.load import IMAGE_NAME, REF_NAME
from tiffin.images.manifests import blob_path, has_blob
from tiffin.images.platforms import for_platform
from tiffin.images.store import ImageStore
from tiffin.spec.descriptor import Descriptor, encode_object
from tiffin.spec.digest import Digest, algorithm_of, hex_of
from tiffin.spec.image import Index
from tiffin.spec.platform import Platform
from tiffin.spec.reference import Reference, as_image_id, parse_reference

_CHUNK = 1 << 20
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Selected:
    """An image to save, under these names.

    `target` is what the names stand for in the archive: an index if `manifests`, those of it that
    go along, are several.
    """

    image: Image
    names: tuple[Reference, ...]
    target: Descriptor
    manifests: tuple[Descriptor, ...]


def choose(
    store: ImageStore, names: Sequence[str], platforms: Sequence[Platform] = ()
) -> list[Selected]:
    """Return what `names` stand for: a repository is all its tags; an id has no name.

    Of images for several platforms all that is here is saved, or the `platforms` asked for.
    NotFound for what does not exist, or not for a platform.
    """
    found: dict[tuple[Digest, Digest], Selected] = {}
    for text in names:
        for name, references in _named(store, text):
            item = _select(store, name, platforms)
            key = item.image.id, item.target.digest
            before = found.get(key, item)
            merged = tuple(dict.fromkeys((*before.names, *references)))
            found[key] = replace(before, names=merged)
    return list(found.values())


def save(store: ImageStore, selected: Sequence[Selected]) -> Iterator[bytes]:
    """Yield the archive in chunks, holding the images meanwhile; NotFound if one is gone."""
    with store.lease(adds=False) as lease:
        blobs: dict[Digest, None] = {}
        for item in selected:
            of_item = list(_blobs(store.content, item))
            lease.hold(*of_item)
            if not is_whole(store.content, item.image.manifest):
                raise NotFound(f"No such image: {item.image.id}")
            blobs.update(dict.fromkeys(each for each in of_item if has_blob(store.content, each)))
        for name, data in _documents(selected):
            yield _header(name, len(data)) + data + bytes(-len(data) % _BLOCK)
        yield _directory("blobs/")
        for algorithm in sorted({algorithm_of(digest) for digest in blobs} | {"sha256"}):
            yield _directory(f"blobs/{algorithm}/")
        for digest in blobs:
            yield from _blob(store.content, digest)
        yield bytes(2 * _BLOCK)


def _select(store: ImageStore, text: str, platforms: Sequence[Platform]) -> Selected:
    if len(platforms) == 1:
        image = for_platform(store, text, platforms[0])
        return Selected(image, (), image.manifest, (image.manifest,))
    image, target = store.resolve(text), store.target_of(text)
    if platforms:
        images = [for_platform(store, text, each) for each in platforms]
        if image.id not in {each.id for each in images}:
            image = images[0]
        wanted = [each.manifest.digest for each in images]
    else:
        wanted = [each.digest for each in images_here(store.content, target)]
    manifests = tuple(
        member.descriptor
        for member in members(store.content, target)
        if member.descriptor.digest in wanted
        or member.subject in wanted
        or (not platforms and member.kind is not Kind.IMAGE)
        if has_blob(store.content, member.descriptor.digest)
    )
    if len(manifests) < 2:  # what is alone needs no index that promises more
        return Selected(image, (), image.manifest, (image.manifest,))
    return Selected(image, (), target, manifests)


def _named(store: ImageStore, text: str) -> list[tuple[str, list[Reference]]]:
    """Return names or ids of images, and under which names each is to be saved."""
    if as_image_id(text) is None:
        reference = parse_reference(text)
        record = store.find(reference)
        if reference.is_bare:
            tagged = [
                r
                for r in store.records.all_references()
                if r.reference.bare() == reference and not r.reference.digest
            ]
            if tagged:
                return [(str(r.reference), [r.reference]) for r in tagged]
        if record is not None:
            return [(text, [] if record.reference.digest else [record.reference])]
    return [(text, [])]


def _documents(selected: Sequence[Selected]) -> Iterator[tuple[str, bytes]]:
    yield "oci-layout", encode_object({"imageLayoutVersion": "1.0.0"})
    yield "index.json", Index(tuple(_entries(selected))).encode()
    entries = [encode_object(_docker_entry(item)) for item in selected]
    yield "manifest.json", b"[" + b",".join(entries) + b"]"
    repositories: dict[str, dict[str, str]] = {}
    for item in selected:
        for name in item.names:
            top = item.image.layers[-1].digest if item.image.layers else item.image.id
            repositories.setdefault(name.familiar_repository, {})[name.tag] = hex_of(top)
    if repositories:
        yield "repositories", encode_object(repositories)


def _entries(selected: Sequence[Selected]) -> Iterator[Descriptor]:
    for item in selected:
        plain = Descriptor(item.target.media_type, item.target.digest, item.target.size)
        if not plain.is_index:
            plain = replace(plain, platform=item.image.config.platform)
        for name in item.names:
            yield replace(plain, annotations={IMAGE_NAME: str(name), REF_NAME: name.tag})
        if not item.names:
            yield plain


def _docker_entry(item: Selected) -> dict[str, Any]:
    return {
        "Config": blob_path(item.image.id),
        "RepoTags": [name.familiar for name in item.names] or None,
        "Layers": [blob_path(layer.digest) for layer in item.image.layers],
    }


def _blobs(content: ContentStore, item: Selected) -> Iterator[Digest]:
    """Yield what goes into the archive for one image, as far as it is here."""
    wanted = {each.digest for each in item.manifests}
    if item.target.is_index:
        yield from (each.digest for each in indexes(content, item.target))
    for manifest in (item.image.manifest, *item.manifests):
        if manifest.digest in wanted:
            yield from (each.digest for each in walk(content, manifest))


def _blob(content: ContentStore, digest: Digest) -> Iterator[bytes]:
    size = content.info(digest).size
    yield _header(blob_path(digest), size)
    with content.open(digest) as file:
        while chunk := file.read(_CHUNK):
            yield chunk
    if padding := -size % _BLOCK:
        yield bytes(padding)


def _header(name: str, size: int) -> bytes:
    return encode_entry(Entry(name, size=size), size)


def _directory(name: str) -> bytes:
    return encode_entry(Entry(name, kind=EntryKind.DIRECTORY, mode=0o755), 0)
