"""What the page shows, as values: repositories, their tags, and what an image is made of."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiffin.distribution.blobs import Blobs
from tiffin.distribution.errors import DistributionError
from tiffin.distribution.manifests import ManifestInfo, Manifests
from tiffin.distribution.names import TagOrDigest
from tiffin.errors import InvalidArgument, NotFound
from tiffin.spec.descriptor import (
    CONFIGS,
    INDEXES,
    MANIFESTS,
    Descriptor,
    as_array,
    as_object,
    decode_object,
)
from tiffin.spec.digest import Digest

_CONFIG_LIMIT = 1 << 20
_AT_ONCE = 8
_REMEMBERED = 5000
_SHOWN_CONFIG = ("Cmd", "Entrypoint", "Env", "ExposedPorts", "Labels", "User", "Volumes",
                 "WorkingDir", "Healthcheck", "StopSignal")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """One manifest in a line; `size` is that of all it consists of, in bytes."""

    digest: Digest
    kind: str
    size: int
    platforms: tuple[str, ...]
    created: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "digest": self.digest,
            "kind": self.kind,
            "size": self.size,
            "platforms": list(self.platforms),
            "created": self.created,
        }


class Browser:
    """Reads manifests and configurations; what never changes is remembered."""

    def __init__(self, manifests: Manifests, blobs: Blobs) -> None:
        self._manifests = manifests
        self._blobs = blobs
        self._summaries: dict[tuple[str, Digest], Summary] = {}
        self._parts: dict[Digest, dict[Digest, int]] = {}

    async def tags(self, repository: str) -> list[dict[str, Any]]:
        """Return the tags of a repository with what they point to, sorted."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def describe(tag: str) -> dict[str, Any] | None:
            async with gate:
                try:
                    info = await self._manifests.info(repository, TagOrDigest(tag))
                    summary = await self.summary(repository, info)
                except DistributionError:
                    return None  # gone since it was listed
                return {"tag": tag, **summary.to_json()}

        tags = [tag async for tag in self._manifests.tags(repository)]
        described = await asyncio.gather(*map(describe, tags))
        return [entry for entry in described if entry is not None]

    async def size(self, repository: str) -> int:
        """Return how many bytes all manifests of a repository need together."""
        parts: dict[Digest, int] = {}
        async for digest in self._manifests.digests(repository):
            if (known := self._parts.get(digest)) is None:
                try:
                    known = await self._measure(repository, digest)
                except DistributionError:
                    continue  # deleted since it was listed
                self._parts[digest] = known
                if len(self._parts) > _REMEMBERED:
                    del self._parts[next(iter(self._parts))]
            parts.update(known)
        return sum(parts.values())

    async def summary(self, repository: str, info: ManifestInfo) -> Summary:
        """Describe a manifest in a line."""
        key = repository, info.digest
        if (known := self._summaries.get(key)) is None:
            known = await self._summarize(repository, info)
            self._summaries[key] = known
            if len(self._summaries) > _REMEMBERED:
                del self._summaries[next(iter(self._summaries))]
        return known

    async def image(self, repository: str, reference: TagOrDigest) -> dict[str, Any]:
        """Return everything about a manifest; MANIFEST_UNKNOWN."""
        info = await self._manifests.info(repository, reference)
        raw = await self._read(info)
        out: dict[str, Any] = {
            **(await self.summary(repository, info)).to_json(),
            "mediaType": info.media_type,
            "annotations": _texts(raw.get("annotations")),
            "referrers": await self._referrers(repository, info.digest),
        }
        if info.media_type in INDEXES:
            children = [await self._child(repository, d) for d in _descriptors(raw, "manifests")]
            return out | {"manifests": children}
        layers = _descriptors(raw, "layers") or _descriptors(raw, "blobs")
        config = await self._config(raw)
        commands = _commands(config)
        paired = commands if len(commands) == len(layers) else [""] * len(layers)
        return out | {
            "layers": [
                {"digest": d.digest, "size": d.size, "mediaType": d.media_type, "command": command}
                for d, command in zip(layers, paired, strict=True)
            ],
            "config": {
                name: value
                for name in _SHOWN_CONFIG
                if (value := _member(config, "config").get(name))
            },
        }

    async def _measure(self, repository: str, digest: Digest) -> dict[Digest, int]:
        """Return the sizes of a manifest and the blobs that it names."""
        info = await self._manifests.info(repository, TagOrDigest(digest=digest))
        raw = await self._read(info)
        named = [*_descriptors(raw, "layers"), *_descriptors(raw, "blobs")]
        if config := _descriptor(raw.get("config")):
            named.append(config)
        return {digest: info.size} | {part.digest: part.size for part in named}

    async def _summarize(self, repository: str, info: ManifestInfo) -> Summary:
        raw = await self._read(info)
        if info.media_type in INDEXES:
            return await self._summarize_index(repository, info, raw)
        parts = [*_descriptors(raw, "layers"), *_descriptors(raw, "blobs")]
        size = info.size + sum(part.size for part in parts)
        config = await self._config(raw)
        if described := _descriptor(raw.get("config")):
            size += described.size
        platform = "/".join(
            str(config[name]) for name in ("os", "architecture", "variant") if config.get(name)
        )
        kind = "image" if info.media_type in MANIFESTS and config else "artifact"
        created = config.get("created")
        return Summary(
            info.digest, kind, size, (platform,) if platform else (),
            created if isinstance(created, str) else "",
        )  # fmt: skip

    async def _summarize_index(
        self, repository: str, info: ManifestInfo, raw: Mapping[str, Any]
    ) -> Summary:
        size, created = info.size, ""
        platforms: list[str] = []
        for child in _descriptors(raw, "manifests"):
            if child.platform is not None and child.platform.os != "unknown":
                platforms.append(str(child.platform))
            try:
                found = await self._manifests.info(repository, TagOrDigest(digest=child.digest))
                summary = await self.summary(repository, found)
                size += summary.size
                created = max(created, summary.created)
            except (DistributionError, RecursionError):
                size += child.size  # kept elsewhere
        return Summary(info.digest, "index", size, tuple(dict.fromkeys(platforms)), created)

    async def _child(self, repository: str, child: Descriptor) -> dict[str, Any]:
        out: dict[str, Any] = {
            "digest": child.digest,
            "mediaType": child.media_type,
            "platform": str(child.platform) if child.platform else "",
            "artifactType": child.artifact_type,
        }
        try:
            found = await self._manifests.info(repository, TagOrDigest(digest=child.digest))
            return out | {"size": (await self.summary(repository, found)).size, "here": True}
        except DistributionError:
            return out | {"size": child.size, "here": False}

    async def _referrers(self, repository: str, subject: Digest) -> list[dict[str, Any]]:
        return [
            {"digest": d.digest, "artifactType": d.artifact_type, "size": d.size}
            async for d in self._manifests.referrers.of(repository, subject)
        ][:100]

    async def _read(self, info: ManifestInfo) -> dict[str, Any]:
        try:
            return decode_object(await self._manifests.content(info.digest), "manifest")
        except InvalidArgument:
            return {}

    async def _config(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Return the image's configuration, {} if it is none or not here."""
        descriptor = _descriptor(raw.get("config"))
        if (
            descriptor is None
            or descriptor.media_type not in CONFIGS
            or descriptor.size > _CONFIG_LIMIT
        ):
            return {}
        try:
            return decode_object(await self._blobs.content(descriptor.digest), "configuration")
        except (NotFound, InvalidArgument):
            return {}


def _descriptor(value: object) -> Descriptor | None:
    if value is None:
        return None
    try:
        return Descriptor.from_json(value)
    except InvalidArgument:
        return None


def _descriptors(raw: Mapping[str, Any], member: str) -> list[Descriptor]:
    try:
        entries = as_array(raw.get(member), member)
    except InvalidArgument:
        return []
    return [d for entry in entries if (d := _descriptor(entry)) is not None]


def _member(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    try:
        return as_object(raw.get(name), name)
    except InvalidArgument:
        return {}


def _commands(config: Mapping[str, Any]) -> list[str]:
    """Return what made each layer."""
    history = config.get("history")
    entries = [e for e in history if isinstance(e, dict)] if isinstance(history, list) else []
    return [str(e.get("created_by") or "") for e in entries if not e.get("empty_layer")]


def _texts(value: object) -> dict[str, str]:
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}
