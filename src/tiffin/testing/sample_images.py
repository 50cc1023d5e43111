"""Small images for tests: layers from a dict of files, and the places images come from."""

import gzip
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiffin.spec.descriptor import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from tiffin.spec.digest import Digest, digest_bytes, hex_of
from tiffin.spec.image import (
    ContainerConfig,
    History,
    ImageConfig,
    Index,
    Manifest,
    RootFS,
)
from tiffin.spec.platform import Platform, host_platform
from tiffin.testing.fake_registry import FakeRegistry

HOST = host_platform()


def layer_tar(files: Mapping[str, bytes]) -> bytes:
    """Return the tar of a layer with these files, owned by whoever runs the test."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.uid, info.gid = os.getuid(), os.getgid()
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@dataclass(frozen=True, slots=True)
class SampleImage:
    """An image as bytes. `stored` are the layers as blobs, `layers` the plain tars."""

    layers: tuple[bytes, ...] = ()
    platform: Platform = HOST
    labels: Mapping[str, str] = field(default_factory=dict)
    created: str = "2024-05-06T07:08:09.123456789Z"

    @property
    def stored(self) -> list[bytes]:
        """The layers, compressed."""
        return [gzip.compress(layer, 1, mtime=0) for layer in self.layers]

    @property
    def config(self) -> bytes:
        """The config."""
        config = ImageConfig(
            architecture=self.platform.architecture,
            os=self.platform.os,
            variant=self.platform.variant,
            created=self.created,
            config=ContainerConfig(cmd=("sh",), env=("A=b",), labels=self.labels),
            rootfs=RootFS(tuple(digest_bytes(layer) for layer in self.layers)),
            history=(
                *(History(self.created, f"ADD {i}") for i in range(len(self.layers))),
                History(self.created, "CMD sh", comment="last", empty_layer=True),
            ),
        )
        return config.encode()

    @property
    def id(self) -> Digest:
        """The image's id."""
        return digest_bytes(self.config)

    @property
    def manifest(self) -> bytes:
        """The manifest of the compressed form."""
        layers = [Descriptor(OCI_LAYER_GZIP, digest_bytes(s), len(s)) for s in self.stored]
        config = Descriptor(OCI_CONFIG, self.id, len(self.config))
        return Manifest(config, tuple(layers)).encode()

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the manifest, with platform."""
        data = self.manifest
        return Descriptor(OCI_MANIFEST, digest_bytes(data), len(data), platform=self.platform)

    def publish(self, registry: FakeRegistry, name: str, tag: str) -> Digest:
        """Put it into a registry; return the manifest's digest."""
        for blob in (self.config, *self.stored):
            registry.add_blob(name, blob)
        return Digest(registry.add_manifest(name, tag, OCI_MANIFEST, self.manifest))


def publish_index(
    registry: FakeRegistry, name: str, tag: str, images: Sequence[SampleImage]
) -> Digest:
    """Put a multi-platform image into a registry; return the index's digest."""
    for image in images:
        image.publish(registry, name, "")
    index = Index(tuple(image.descriptor for image in images))
    return Digest(registry.add_manifest(name, tag, index.media_type, index.encode()))


def archive(members: Mapping[str, bytes | str]) -> bytes:
    """Return a tar; a `str` member is a symlink to it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type = tarfile.SYMTYPE
                info.linkname = data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def docker_members(image: SampleImage, tags: Sequence[str]) -> dict[str, bytes | str]:
    """Return the members of an archive as `docker save` made it before OCI layouts."""
    config = f"{hex_of(image.id)}.json"
    members: dict[str, bytes | str] = {}
    names: list[str] = []
    for number, layer in enumerate(image.layers):
        names.append(f"layer{number}/layer.tar")
        members[f"layer{number}/VERSION"] = b"1.0"
        members[f"layer{number}/json"] = b"{}"
        members[names[-1]] = layer
    members[config] = image.config
    entry: dict[str, Any] = {"Config": config, "RepoTags": list(tags), "Layers": names}
    members["manifest.json"] = json.dumps([entry]).encode()
    return members


def layout_members(
    images: Sequence[SampleImage], names: Sequence[str] = ()
) -> dict[str, bytes | str]:
    """Return the members of an OCI image layout."""
    members: dict[str, bytes | str] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
    entries: list[dict[str, Any]] = []
    for number, image in enumerate(images):
        for blob in (image.config, image.manifest, *image.stored):
            members[f"blobs/sha256/{hex_of(digest_bytes(blob))}"] = blob
        entry = image.descriptor.to_json()
        if number < len(names):
            entry["annotations"] = {"io.containerd.image.name": names[number]}
        entries.append(entry)
    index = {"schemaVersion": 2, "manifests": entries}
    members["index.json"] = json.dumps(index).encode()
    return members
