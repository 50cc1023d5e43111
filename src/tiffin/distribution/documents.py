"""What a registry has to know about manifests: what they refer to, and whether they make sense.

Known types (OCI and Docker schema 2 manifests and indexes, OCI artifacts) are checked. Any other
type is kept byte for byte; every digest in it counts as a reference.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiffin.distribution.errors import Code, DistributionError
from tiffin.errors import InvalidArgument
from tiffin.spec.descriptor import (
    INDEXES,
    MANIFESTS,
    Descriptor,
    as_array,
    as_string,
    as_string_map,
    decode_object,
)
from tiffin.spec.digest import Digest, parse_digest

OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"
_SCHEMA_1 = re.compile(r"application/vnd\.docker\.distribution\.manifest\.v1\+.*")
_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
)
_ANY_DIGEST = re.compile(
    rb"(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})(?![0-9a-f])"
)
_ELSEWHERE = ("nondistributable", ".foreign.")


@dataclass(frozen=True, slots=True)
class Document:
    """A manifest, read. `blobs` and `manifests` must be there before it; `subject` need not."""

    media_type: str
    blobs: tuple[Digest, ...] = ()
    manifests: tuple[Digest, ...] = ()
    mentioned: tuple[Digest, ...] = ()
    """References that need not exist, but are kept if they do."""
    subject: Digest | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def references(self) -> frozenset[Digest]:
        """Everything that the collector must keep for its sake."""
        return frozenset((*self.blobs, *self.manifests, *self.mentioned))


def parse(content_type: str, data: bytes) -> Document:
    """Read a manifest that is pushed with a `Content-Type`; MANIFEST_INVALID."""
    media_type = content_type.partition(";")[0].strip()
    try:
        return _parse(media_type, data)
    except InvalidArgument as error:
        raise DistributionError(Code.MANIFEST_INVALID, error.message) from error


def reread(media_type: str, data: bytes) -> Document:
    """Read a manifest that was accepted once; never fails."""
    try:
        return _parse(media_type, data)
    except InvalidArgument:
        return Document(media_type, mentioned=_digests_in(data))


def _parse(media_type: str, data: bytes) -> Document:
    if media_type and not _MEDIA_TYPE.fullmatch(media_type):
        raise InvalidArgument(f"invalid media type {media_type[:200]!r}")
    if _SCHEMA_1.fullmatch(media_type):
        raise InvalidArgument("manifests of schema version 1 are not supported")
    known = media_type in MANIFESTS or media_type in INDEXES or media_type == OCI_ARTIFACT
    if media_type and not known and media_type != "application/json":
        return Document(media_type, mentioned=_digests_in(data))
    raw = decode_object(data, "manifest")
    claimed = as_string(raw.get("mediaType"), "manifest: mediaType")
    if known and claimed and claimed != media_type:
        raise InvalidArgument(f"the manifest says {claimed!r}, its Content-Type {media_type!r}")
    if not known:
        if not claimed or claimed == media_type:
            raise InvalidArgument("the request needs a Content-Type, or the manifest a mediaType")
        return _parse(claimed, data)
    if media_type == OCI_ARTIFACT:
        return _artifact(media_type, raw)
    if raw.get("schemaVersion") != 2:
        raise InvalidArgument("invalid manifest: schemaVersion is not 2")
    return _index(media_type, raw) if media_type in INDEXES else _image(media_type, raw)


def _image(media_type: str, raw: Mapping[str, Any]) -> Document:
    if "manifests" in raw:
        raise InvalidArgument("invalid manifest: an image has no manifests")
    config = Descriptor.from_json(raw.get("config"), "manifest: config")
    layers = _descriptors(raw, "layers")
    return Document(
        media_type,
        blobs=tuple(
            dict.fromkeys([config.digest, *(d.digest for d in layers if not _is_elsewhere(d))])
        ),
        mentioned=tuple(d.digest for d in layers if _is_elsewhere(d)),
        artifact_type=_artifact_type(raw) or config.media_type,
        **_common(raw),
    )


def _index(media_type: str, raw: Mapping[str, Any]) -> Document:
    if "config" in raw or "layers" in raw:
        raise InvalidArgument("invalid manifest: an index has neither config nor layers")
    children = _descriptors(raw, "manifests")
    return Document(
        media_type,
        manifests=tuple(dict.fromkeys(child.digest for child in children)),
        artifact_type=_artifact_type(raw),
        **_common(raw),
    )


def _artifact(media_type: str, raw: Mapping[str, Any]) -> Document:
    blobs = _descriptors(raw, "blobs")
    return Document(
        media_type,
        blobs=tuple(dict.fromkeys(blob.digest for blob in blobs)),
        artifact_type=_artifact_type(raw),
        **_common(raw),
    )


def _descriptors(raw: Mapping[str, Any], member: str) -> list[Descriptor]:
    items = as_array(raw.get(member), f"manifest: {member}")
    return [Descriptor.from_json(i, f"manifest: {member}[{n}]") for n, i in enumerate(items)]


def _common(raw: Mapping[str, Any]) -> dict[str, Any]:
    subject = raw.get("subject")
    return {
        "subject": None
        if subject is None
        else Descriptor.from_json(subject, "manifest: subject").digest,
        "annotations": as_string_map(raw.get("annotations"), "manifest: annotations"),
    }


def _artifact_type(raw: Mapping[str, Any]) -> str:
    return as_string(raw.get("artifactType"), "manifest: artifactType")


def _is_elsewhere(layer: Descriptor) -> bool:
    """Tell whether a layer may be kept from registries."""
    return bool(layer.urls) or any(word in layer.media_type for word in _ELSEWHERE)


def _digests_in(data: bytes) -> tuple[Digest, ...]:
    found = dict.fromkeys(match[0].decode() for match in _ANY_DIGEST.finditer(data))
    return tuple(parse_digest(text) for text in found)
