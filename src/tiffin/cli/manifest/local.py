"""Manifest lists that are being put together, in the files that Docker's client uses.

~/.docker/manifests/<list>/<manifest>     JSON of one member, names made safe for a file system
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from tiffin.cli.command import CommandFailed
from tiffin.errors import InvalidArgument
from tiffin.spec.descriptor import OCI_MANIFEST
from tiffin.spec.reference import Reference, parse_reference

Json = dict[str, Any]


class Member(NamedTuple):
    """One image of a list. `ref` is how it was named, `descriptor` OCI's with the platform."""

    ref: str
    descriptor: Json
    raw: str
    """The manifest's bytes, base64."""
    manifest: Json

    @property
    def platform(self) -> Json:
        """The descriptor's platform."""
        found: Json = self.descriptor.get("platform") or {}
        return found

    def with_platform(self, platform: Json) -> "Member":
        """Return the member with another platform."""
        return self._replace(descriptor={**self.descriptor, "platform": in_order(platform)})

    def to_json(self) -> Json:
        """Return the object as Docker writes it."""
        is_oci = self.descriptor["mediaType"] == OCI_MANIFEST
        kind = "OCIManifest" if is_oci else "SchemaV2Manifest"
        return {"Ref": self.ref, "Descriptor": self.descriptor, "Raw": self.raw,
                kind: self.manifest}  # fmt: skip

    @classmethod
    def from_json(cls, raw: Json) -> "Member":
        """Read one; KeyError."""
        manifest = raw.get("OCIManifest") or raw["SchemaV2Manifest"]
        return cls(raw["Ref"], raw["Descriptor"], raw["Raw"], manifest)


class Lists:
    """All lists of a user."""

    def __init__(self, directory: Path) -> None:
        self._root = directory / "manifests"

    def members(self, name: Reference) -> list[Member]:
        """Return a list's members in the order of their file names; [] if there is no such list."""
        try:
            files = sorted(os.listdir(self._root / safe(name)))
        except FileNotFoundError:
            return []
        return [self._read(self._root / safe(name) / file) for file in files]

    def member(self, name: Reference, manifest: Reference) -> Member | None:
        """Return one member, None if it is not in the list."""
        path = self._root / safe(name) / safe(manifest)
        return self._read(path) if path.exists() else None

    def put(self, name: Reference, manifest: Reference, member: Member) -> None:
        """Add or replace a member."""
        directory = self._root / safe(name)
        directory.mkdir(parents=True, exist_ok=True)
        temporary = directory.with_name(f".{directory.name}.{os.getpid()}")
        temporary.write_text(json.dumps(member.to_json(), separators=(",", ":")))
        temporary.replace(directory / safe(manifest))

    def remove(self, name: Reference) -> None:
        """Drop a list; CommandFailed `No such manifest`."""
        try:
            shutil.rmtree(self._root / safe(name))
        except FileNotFoundError as error:
            raise CommandFailed(f"No such manifest: {name.familiar}") from error

    def _read(self, path: Path) -> Member:
        try:
            return Member.from_json(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CommandFailed(f"{path} is not a stored manifest: {error}") from error


def safe(reference: Reference) -> str:
    """Return a reference as the name of a file."""
    return str(reference).replace(":", "-").replace("/", "_")


def parse(text: str) -> Reference:
    """Return the reference that a user wrote, `latest` if it is bare; CommandFailed."""
    try:
        return parse_reference(text).with_default_tag()
    except InvalidArgument as error:
        raise CommandFailed(str(error)) from error


def in_order(platform: Json) -> Json:
    """Return a platform object with its members in OCI's order, without empty ones."""
    names = ("architecture", "os", "os.version", "os.features", "variant")
    return {name: platform[name] for name in names if platform.get(name)}
