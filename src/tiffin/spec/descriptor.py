"""Content descriptors and media types (OCI image-spec, descriptor.md and media-types.md)."""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiffin.errors import InvalidArgument
from tiffin.spec.digest import Digest, parse_digest
from tiffin.spec.platform import Platform

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
DOCKER_LAYER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

_NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
FOREIGN_LAYERS = frozenset(
    {
        DOCKER_LAYER_FOREIGN,
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        _NONDISTRIBUTABLE,
        f"{_NONDISTRIBUTABLE}+gzip",
        f"{_NONDISTRIBUTABLE}+zstd",
    }
)
"""Layers that are kept elsewhere and never pushed (image-spec, Non-Distributable Layers)."""

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG, "application/octet-stream"})
"""Types of image configs; the last is what the oldest registries were given."""
OCI_LAYERS = {
    DOCKER_LAYER: OCI_LAYER,
    DOCKER_LAYER_GZIP: OCI_LAYER_GZIP,
    DOCKER_LAYER_FOREIGN: "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
}
"""The OCI types of the same bytes."""

_KNOWN = frozenset(
    ("mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform")
)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a blob is (`media_type`), which one (`digest`) and how long (`size`, bytes).

    Members that this class does not know are kept in `extra`.
    """

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    urls: tuple[str, ...] = ()
    artifact_type: str = ""
    data: bytes | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_index(self) -> bool:
        """Whether it names a list of manifests."""
        return self.media_type in INDEXES

    @property
    def is_manifest(self) -> bool:
        """Whether it names the manifest of one image."""
        return self.media_type in MANIFESTS

    @classmethod
    def from_json(cls, value: object, what: str = "descriptor") -> "Descriptor":
        """Read one; InvalidArgument names `what`."""
        raw = as_object(value, what)
        size = raw.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise InvalidArgument(f"invalid {what}: size {size!r}")
        platform = raw.get("platform")
        return cls(
            media_type=as_string(raw.get("mediaType"), f"{what}: mediaType"),
            digest=parse_digest(as_string(raw.get("digest"), f"{what}: digest")),
            size=size,
            annotations=as_string_map(raw.get("annotations"), f"{what}: annotations"),
            platform=platform_from_json(platform, what) if platform is not None else None,
            urls=as_strings(raw.get("urls"), f"{what}: urls") or (),
            artifact_type=as_string(raw.get("artifactType"), f"{what}: artifactType"),
            data=_data(raw.get("data"), what),
            extra={key: item for key, item in raw.items() if key not in _KNOWN},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without empty optional members."""
        out: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.urls:
            out["urls"] = list(self.urls)
        if self.annotations:
            out["annotations"] = dict(self.annotations)
        if self.data is not None:
            out["data"] = base64.b64encode(self.data).decode()
        if self.artifact_type:
            out["artifactType"] = self.artifact_type
        if self.platform is not None:
            out["platform"] = platform_to_json(self.platform)
        return out | dict(self.extra)


def platform_from_json(value: object, what: str = "platform") -> Platform:
    """Read an OCI platform object."""
    raw = as_object(value, f"{what}: platform")
    return Platform(
        as_string(raw.get("os"), f"{what}: os"),
        as_string(raw.get("architecture"), f"{what}: architecture"),
        as_string(raw.get("variant"), f"{what}: variant"),
        as_string(raw.get("os.version"), f"{what}: os.version"),
        as_strings(raw.get("os.features"), f"{what}: os.features") or (),
    )


def platform_to_json(platform: Platform) -> dict[str, Any]:
    """Return an OCI platform object, without empty optional members."""
    out: dict[str, Any] = {"architecture": platform.architecture, "os": platform.os}
    if platform.os_version:
        out["os.version"] = platform.os_version
    if platform.os_features:
        out["os.features"] = list(platform.os_features)
    return out | ({"variant": platform.variant} if platform.variant else {})


def decode_object(data: bytes, what: str) -> dict[str, Any]:
    """Decode bytes that must be one JSON object; InvalidArgument names `what`."""
    try:
        return as_object(json.loads(data), what)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"invalid {what}: {error}") from error


def encode_object(value: Mapping[str, Any]) -> bytes:
    """Encode compactly and stably, members in the order given."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def as_object(value: object, what: str) -> dict[str, Any]:
    """Return a JSON object, {} for null; InvalidArgument for anything else."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidArgument(f"invalid {what}: expected an object, not {_kind(value)}")
    return value


def as_string(value: object, what: str) -> str:
    """Return a JSON string, "" for null."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidArgument(f"invalid {what}: expected a string, not {_kind(value)}")
    return value


def as_integer(value: object, what: str) -> int:
    """Return a JSON integer, 0 for null."""
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidArgument(f"invalid {what}: expected an integer, not {_kind(value)}")
    return value


def as_array(value: object, what: str) -> list[Any]:
    """Return a JSON array, [] for null."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidArgument(f"invalid {what}: expected an array, not {_kind(value)}")
    return value


def as_strings(value: object, what: str) -> tuple[str, ...] | None:
    """Return an array of strings; null stays None, which some members tell from empty."""
    if value is None:
        return None
    return tuple(as_string(item, what) for item in as_array(value, what))


def as_string_map(value: object, what: str) -> dict[str, str]:
    """Return an object of strings, {} for null."""
    return {key: as_string(item, f"{what}: {key}") for key, item in as_object(value, what).items()}


def _data(value: object, what: str) -> bytes | None:
    if value is None:
        return None
    try:
        return base64.b64decode(as_string(value, f"{what}: data"), validate=True)
    except binascii.Error as error:
        raise InvalidArgument(f"invalid {what}: data: {error}") from error


def _kind(value: object) -> str:
    return {bool: "a boolean", str: "a string", list: "an array", dict: "an object"}.get(
        type(value), "a number"
    )
