"""Manifests, indexes and image configs, OCI and Docker schema 2, as frozen values.

`from_json` and `to_json` are pairs that keep members they do not know. An image's identity is the
digest of the bytes of its config, so stored bytes are never written anew, only read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tiffin.errors import InvalidArgument
from tiffin.spec.container_config import ContainerConfig, Healthcheck
from tiffin.spec.descriptor import (
    INDEXES,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    as_array,
    as_integer,
    as_object,
    as_string,
    as_string_map,
    as_strings,
    decode_object,
    encode_object,
)
from tiffin.spec.digest import ChainId, DiffId, chain_ids, parse_digest
from tiffin.spec.platform import Platform

__all__ = [
    "ContainerConfig",
    "Healthcheck",
    "History",
    "ImageConfig",
    "Index",
    "Manifest",
    "RootFS",
    "parse_config",
    "parse_index",
    "parse_manifest",
]

_CONFIG_MEMBERS = frozenset(
    ("created", "author", "architecture", "variant", "os", "os.version", "os.features", "config",
     "rootfs", "history")
)  # fmt: skip
_MANIFEST_MEMBERS = frozenset(
    ("schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations")
)
_INDEX_MEMBERS = frozenset(
    ("schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations")
)


@dataclass(frozen=True, slots=True)
class History:
    """One step of how the image came to be; `created` is RFC 3339 or ""."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    @classmethod
    def from_json(cls, value: object) -> "History":
        """Read one entry."""
        raw = as_object(value, "history")
        return cls(
            created=as_string(raw.get("created"), "history: created"),
            created_by=as_string(raw.get("created_by"), "history: created_by"),
            author=as_string(raw.get("author"), "history: author"),
            comment=as_string(raw.get("comment"), "history: comment"),
            empty_layer=bool(raw.get("empty_layer")),
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without empty members."""
        members = {
            "created": self.created,
            "created_by": self.created_by,
            "author": self.author,
            "comment": self.comment,
            "empty_layer": self.empty_layer,
        }
        return {key: value for key, value in members.items() if value}


@dataclass(frozen=True, slots=True)
class RootFS:
    """The stack of layers by their uncompressed digests, lowest first."""

    diff_ids: tuple[DiffId, ...] = ()
    type: str = "layers"

    @classmethod
    def from_json(cls, value: object) -> "RootFS":
        """Read it; InvalidArgument."""
        raw = as_object(value, "rootfs")
        diff_ids = as_strings(raw.get("diff_ids"), "rootfs: diff_ids") or ()
        return cls(
            tuple(parse_digest(diff_id) for diff_id in diff_ids),
            as_string(raw.get("type"), "rootfs: type") or "layers",
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"type": self.type, "diff_ids": list(self.diff_ids)}


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """An image's configuration (OCI image-spec, config.md). `created` is RFC 3339 or ""."""

    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    created: str = ""
    author: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    config: ContainerConfig = field(default_factory=ContainerConfig)
    rootfs: RootFS = field(default_factory=RootFS)
    history: tuple[History, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def diff_ids(self) -> tuple[DiffId, ...]:
        """The layers' uncompressed digests, lowest first."""
        return self.rootfs.diff_ids

    @property
    def platform(self) -> Platform:
        """What it runs on."""
        system = self.os or "linux"
        return Platform(system, self.architecture, self.variant, self.os_version, self.os_features)

    def chain_ids(self) -> list[ChainId]:
        """Return the chain ID of every layer, lowest first."""
        return chain_ids(self.rootfs.diff_ids)

    def append_layer(self, diff_id: DiffId, history: History) -> "ImageConfig":
        """Return the same config with one more layer and its history."""
        return replace(
            self,
            rootfs=replace(self.rootfs, diff_ids=(*self.rootfs.diff_ids, diff_id)),
            history=(*self.history, history),
        )

    @classmethod
    def from_json(cls, value: object) -> "ImageConfig":
        """Read one; InvalidArgument says which member is wrong."""
        raw = as_object(value, "image config")
        return cls(
            architecture=as_string(raw.get("architecture"), "image config: architecture"),
            os=as_string(raw.get("os"), "image config: os"),
            variant=as_string(raw.get("variant"), "image config: variant"),
            created=as_string(raw.get("created"), "image config: created"),
            author=as_string(raw.get("author"), "image config: author"),
            os_version=as_string(raw.get("os.version"), "image config: os.version"),
            os_features=as_strings(raw.get("os.features"), "image config: os.features") or (),
            config=ContainerConfig.from_json(raw.get("config")),
            rootfs=RootFS.from_json(raw.get("rootfs")),
            history=tuple(
                History.from_json(item)
                for item in as_array(raw.get("history"), "image config: history")
            ),
            extra={key: item for key, item in raw.items() if key not in _CONFIG_MEMBERS},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without empty optional members."""
        optional: dict[str, Any] = {
            "created": self.created,
            "author": self.author,
            "architecture": self.architecture,
            "variant": self.variant,
            "os": self.os,
            "os.version": self.os_version,
            "os.features": list(self.os_features),
        }
        out = {key: value for key, value in optional.items() if value}
        out |= {"architecture": self.architecture, "os": self.os}
        out |= {"config": self.config.to_json(), "rootfs": self.rootfs.to_json()}
        if self.history:
            out["history"] = [entry.to_json() for entry in self.history]
        return out | dict(self.extra)

    def encode(self) -> bytes:
        """Return the bytes whose digest is the image's ID."""
        return encode_object(self.to_json())


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its config and layers (OCI manifest.md, Docker manifest schema 2)."""

    config: Descriptor
    layers: tuple[Descriptor, ...] = ()
    media_type: str = OCI_MANIFEST
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: object) -> "Manifest":
        """Read one; InvalidArgument."""
        raw = as_object(value, "manifest")
        _check_schema(raw, "manifest", MANIFESTS, "manifests")
        if "config" not in raw:
            raise InvalidArgument("invalid manifest: no config")
        subject = raw.get("subject")
        return cls(
            config=Descriptor.from_json(raw.get("config"), "manifest config"),
            layers=tuple(
                Descriptor.from_json(item, "manifest layer")
                for item in as_array(raw.get("layers"), "manifest: layers")
            ),
            media_type=as_string(raw.get("mediaType"), "manifest: mediaType") or OCI_MANIFEST,
            artifact_type=as_string(raw.get("artifactType"), "manifest: artifactType"),
            subject=Descriptor.from_json(subject) if subject is not None else None,
            annotations=as_string_map(raw.get("annotations"), "manifest: annotations"),
            extra={key: item for key, item in raw.items() if key not in _MANIFEST_MEMBERS},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        out: dict[str, Any] = {"schemaVersion": 2, "mediaType": self.media_type}
        if self.artifact_type:
            out["artifactType"] = self.artifact_type
        out["config"] = self.config.to_json()
        out["layers"] = [layer.to_json() for layer in self.layers]
        return out | _tail(self.subject, self.annotations, self.extra)

    def encode(self) -> bytes:
        """Return the bytes whose digest names the manifest."""
        return encode_object(self.to_json())


@dataclass(frozen=True, slots=True)
class Index:
    """A list of manifests, usually one per platform (OCI image-index.md, manifest list)."""

    manifests: tuple[Descriptor, ...] = ()
    media_type: str = OCI_INDEX
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, value: object) -> "Index":
        """Read one; InvalidArgument."""
        raw = as_object(value, "index")
        _check_schema(raw, "index", INDEXES, "layers", "config")
        subject = raw.get("subject")
        return cls(
            manifests=tuple(
                Descriptor.from_json(item, "index entry")
                for item in as_array(raw.get("manifests"), "index: manifests")
            ),
            media_type=as_string(raw.get("mediaType"), "index: mediaType") or OCI_INDEX,
            artifact_type=as_string(raw.get("artifactType"), "index: artifactType"),
            subject=Descriptor.from_json(subject) if subject is not None else None,
            annotations=as_string_map(raw.get("annotations"), "index: annotations"),
            extra={key: item for key, item in raw.items() if key not in _INDEX_MEMBERS},
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        out: dict[str, Any] = {"schemaVersion": 2, "mediaType": self.media_type}
        if self.artifact_type:
            out["artifactType"] = self.artifact_type
        out["manifests"] = [entry.to_json() for entry in self.manifests]
        return out | _tail(self.subject, self.annotations, self.extra)

    def encode(self) -> bytes:
        """Return the bytes whose digest names the index."""
        return encode_object(self.to_json())


def parse_config(data: bytes) -> ImageConfig:
    """Decode the bytes of an image config; InvalidArgument."""
    return ImageConfig.from_json(decode_object(data, "image config"))


def parse_manifest(data: bytes) -> Manifest:
    """Decode the bytes of a manifest; InvalidArgument."""
    return Manifest.from_json(decode_object(data, "manifest"))


def parse_index(data: bytes) -> Index:
    """Decode the bytes of an index or manifest list; InvalidArgument."""
    return Index.from_json(decode_object(data, "index"))


def _check_schema(
    raw: Mapping[str, Any], what: str, allowed: frozenset[str], *foreign: str
) -> None:
    """Refuse what could be read as two kinds of document at once (CVE-2021-41190)."""
    if as_integer(raw.get("schemaVersion"), f"{what}: schemaVersion") != 2:
        raise InvalidArgument(
            f"invalid {what}: unsupported schemaVersion {raw.get('schemaVersion')!r}"
        )
    media_type = as_string(raw.get("mediaType"), f"{what}: mediaType")
    if media_type and media_type not in allowed:
        raise InvalidArgument(f"invalid {what}: unexpected mediaType {media_type!r}")
    for member in foreign:
        if raw.get(member) is not None:
            raise InvalidArgument(f"invalid {what}: unexpected member {member!r}")


def _tail(
    subject: Descriptor | None, annotations: Mapping[str, str], extra: Mapping[str, Any]
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if subject is not None:
        out["subject"] = subject.to_json()
    if annotations:
        out["annotations"] = dict(annotations)
    return out | dict(extra)
