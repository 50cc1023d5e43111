"""Images to archives: an OCI image layout that `docker load` of any age reads too.

```
oci-layout  index.json  manifest.json  repositories  blobs/<algorithm>/<hex>
```
What describes the archive comes first, so that a reader can tell early what it gets.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from tiffin.content.store import ContentStore
from tiffin.errors import NotFound
from tiffin.fs.tar import Entry, EntryKind
from tiffin.fs.tar.writer import encode_entry
from tiffin.images.image import Image
from tiffin.images.load import IMAGE_NAME, REF_NAME
from tiffin.images.manifests import blob_path
from tiffin.images.store import ImageStore
from tiffin.spec.descriptor import Descriptor, encode_object
from tiffin.spec.digest import Digest, hex_of
from tiffin.spec.image import Index
from tiffin.spec.platform import Platform, matches
from tiffin.spec.reference import Reference, as_image_id, parse_reference

_CHUNK = 1 << 20
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Selected:
    """An image to save, under these names."""

    image: Image
    names: tuple[Reference, ...]


def choose(
    store: ImageStore, names: Sequence[str], platform: Platform | None = None
) -> list[Selected]:
    """Return what `names` stand for: a repository is all its tags; an id has no name.

    NotFound for what does not exist, or not for `platform`.
    """
    found: dict[Digest, Selected] = {}
    for text in names:
        for image, references in _named(store, text):
            if platform is not None and not matches(platform, image.config.platform):
                raise NotFound(
                    f"image with reference {text} was found but its platform "
                    f"({image.config.platform}) does not match the specified platform ({platform})"
                )
            before = found.get(image.id, Selected(image, ()))
            merged = tuple(dict.fromkeys((*before.names, *references)))
            found[image.id] = replace(before, names=merged)
    return list(found.values())


def save(store: ImageStore, selected: Sequence[Selected]) -> Iterator[bytes]:
    """Yield the archive in chunks, holding the images meanwhile; NotFound if one is gone."""
    with ExitStack() as leases:
        for item in selected:
            leases.enter_context(store.hold(item.image))
        for name, data in _documents(selected):
            yield _header(name, len(data)) + data + bytes(-len(data) % _BLOCK)
        yield _directory("blobs/") + _directory("blobs/sha256/")
        for digest in _blobs(selected):
            yield from _blob(store.content, digest)
        yield bytes(2 * _BLOCK)


def _named(store: ImageStore, text: str) -> list[tuple[Image, list[Reference]]]:
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
                return [(store.get(r.image_id), [r.reference]) for r in tagged]
        if record is not None:
            names = [] if record.reference.digest else [record.reference]
            return [(store.get(record.image_id), names)]
    return [(store.resolve(text), [])]


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
        plain = replace(item.image.manifest, annotations={}, platform=item.image.config.platform)
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


def _blobs(selected: Sequence[Selected]) -> Iterable[Digest]:
    digests: dict[Digest, None] = {}
    for item in selected:
        for digest in (item.image.manifest.digest, item.image.id):
            digests[digest] = None
        for layer in item.image.layers:
            digests[layer.digest] = None
    return digests


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
