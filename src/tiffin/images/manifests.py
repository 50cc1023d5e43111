"""Reading manifests, indexes and configs from the content store."""

import hashlib

from tiffin.content.store import ContentStore
from tiffin.errors import DataLoss, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.spec.descriptor import CONFIGS, Descriptor
from tiffin.spec.digest import Digest, algorithm_of, hex_of
from tiffin.spec.image import ImageConfig, Index, Manifest, parse_config, parse_index
from tiffin.spec.image import parse_manifest as _parse_manifest
from tiffin.spec.platform import Platform, rank

MAX_DOCUMENT = 8 << 20
"""Bytes of a manifest, index or config."""

REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
"""Annotations of an entry that tells of another one: how, and of which."""


class NotAnImage(InvalidArgument):
    """A manifest of an artifact, where one of an image is asked for."""


def has_blob(content: ContentStore, digest: Digest) -> bool:
    """Tell whether the blob is here."""
    try:
        content.info(digest)
    except NotFound:
        return False
    return True


def read_document(content: ContentStore, digest: Digest) -> bytes:
    """Return a small blob; InvalidArgument if it is too large, DataLoss if damaged, NotFound."""
    if content.info(digest).size > MAX_DOCUMENT:
        raise InvalidArgument(f"{digest} is larger than {MAX_DOCUMENT} bytes")
    with content.open(digest) as file:
        data = file.read()
    if hashlib.new(algorithm_of(digest), data).hexdigest() != hex_of(digest):
        raise DataLoss(
            f"{digest} is damaged on disk", hint="tiffin image verify --repair fetches it again"
        )
    return data


def read_manifest(content: ContentStore, digest: Digest) -> Manifest:
    """Return a manifest; InvalidArgument, NotFound."""
    return _parse_manifest(read_document(content, digest))


def read_index(content: ContentStore, digest: Digest) -> Index:
    """Return an index; InvalidArgument, NotFound."""
    return parse_index(read_document(content, digest))


def read_config(content: ContentStore, digest: Digest) -> ImageConfig:
    """Return an image config; InvalidArgument, NotFound."""
    return parse_config(read_document(content, digest))


def read_image(content: ContentStore, descriptor: Descriptor) -> Image:
    """Return the image of a manifest; InvalidArgument if the parts do not fit, NotFound."""
    manifest = read_manifest(content, descriptor.digest)
    check_is_image(manifest)  # before its config is looked for
    return assemble(descriptor, manifest, read_config(content, manifest.config.digest))


def assemble(descriptor: Descriptor, manifest: Manifest, config: ImageConfig) -> Image:
    """Put an image together from its documents; InvalidArgument if they do not fit."""
    check_is_image(manifest)
    if len(manifest.layers) != len(config.diff_ids):
        raise InvalidArgument(
            f"invalid image {manifest.config.digest}: {len(manifest.layers)} layers in the "
            f"manifest, {len(config.diff_ids)} in the config"
        )
    # What an index says about the manifest belongs to the index.
    plain = Descriptor(descriptor.media_type, descriptor.digest, descriptor.size)
    return Image(manifest.config.digest, config, plain, manifest.layers)


def check_is_image(manifest: Manifest) -> None:
    """Raise NotAnImage if the manifest is of something else, such as a chart."""
    if manifest.config.media_type not in CONFIGS:
        raise NotAnImage(
            f'Encountered remote "{manifest.config.media_type}"(unknown) when fetching'
        )


def select(index: Index, platform: Platform) -> Descriptor:
    """Return the entry that serves `platform` best; NotFound in Docker's words.

    That may be an index once more, where none of the manifests beside it serves.
    """
    ranked = [
        (position, entry)
        for entry in index.manifests
        if entry.platform is not None and not is_attestation(entry)
        if (position := rank(platform, entry.platform)) is not None
    ]
    if ranked:
        return min(ranked, key=lambda each: each[0])[1]
    unlabelled = [entry for entry in index.manifests if entry.platform is None]
    nested = [entry for entry in unlabelled if entry.is_index]
    if nested or len(index.manifests) == len(unlabelled) == 1:
        return (nested or unlabelled)[0]
    raise NotFound(
        f"no matching manifest for {platform} in the manifest list entries: "
        "no match for platform in manifest: not found"
    )


def is_attestation(entry: Descriptor) -> bool:
    """Tell whether an entry of an index tells of another entry, as BuildKit's attestations do."""
    return REFERENCE_TYPE in entry.annotations


def children(content: ContentStore, descriptor: Descriptor) -> tuple[Descriptor, ...]:
    """Return what a manifest or index refers to; () for anything else or if it is not here."""
    if not has_blob(content, descriptor.digest):
        return ()
    if descriptor.is_index:
        return read_index(content, descriptor.digest).manifests
    if descriptor.is_manifest:
        manifest = read_manifest(content, descriptor.digest)
        return (manifest.config, *manifest.layers)
    return ()


def blob_path(digest: Digest) -> str:
    """Return where an OCI image layout keeps the blob."""
    return f"blobs/{digest.partition(':')[0]}/{hex_of(digest)}"
