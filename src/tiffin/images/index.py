"""What a name stands for: one manifest, or an index of manifests for several platforms.

An index is stored as it came, and what of it is here is found out by looking: of a pulled one that
is often a single platform, of a loaded one all. Nothing is wrong with what is not here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tiffin.content.store import ContentStore
from tiffin.errors import DataLoss, InvalidArgument, NotFound
from tiffin.images.manifests import (
    REFERENCE_DIGEST,
    REFERENCE_TYPE,
    children,
    has_blob,
    is_attestation,
    read_config,
    read_manifest,
)
from tiffin.spec.descriptor import CONFIGS, Descriptor
from tiffin.spec.digest import Digest
from tiffin.spec.platform import Platform, rank

MAX_NESTING = 8
MAX_MEMBERS = 10_000
_UNKNOWN = "unknown"


class Kind(StrEnum):
    """What a manifest is, in the words of the Engine API."""

    IMAGE = "image"
    ATTESTATION = "attestation"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Member:
    """A manifest as the index describes it; `subject` is the digest of what it attests, or ""."""

    descriptor: Descriptor
    kind: Kind
    subject: str = ""


def members(content: ContentStore, target: Descriptor) -> tuple[Member, ...]:
    """Return the manifests behind `target`, those of nested indexes in their place, each once.

    InvalidArgument for an index that is malformed, nested too deep, or too large.
    """
    return tuple(_member(content, entry) for entry in _walk(content, target) if not entry.is_index)


def walk(content: ContentStore, target: Descriptor) -> Iterator[Descriptor]:
    """Yield `target` and all blobs below it, whether they are here or not, each once."""
    seen: set[Digest] = set()
    for entry in _walk(content, target):
        for blob in (entry, *(() if entry.is_index else _parts(content, entry))):
            if blob.digest not in seen:
                seen.add(blob.digest)
                yield blob


def indexes(content: ContentStore, target: Descriptor) -> list[Descriptor]:
    """Return `target` and the indexes nested in it."""
    return [entry for entry in _walk(content, target) if entry.is_index]


def is_whole(content: ContentStore, manifest: Descriptor) -> bool:
    """Tell whether a manifest and all that it names are here."""
    try:
        parts = children(content, manifest)
    except (InvalidArgument, DataLoss):
        return False
    return has_blob(content, manifest.digest) and all(
        has_blob(content, part.digest) for part in parts
    )


def platform_of(content: ContentStore, member: Member) -> Platform | None:
    """Return what an image is for, as the index says, or else its config; None if neither does."""
    if member.descriptor.platform is not None:
        return member.descriptor.platform
    try:
        config = read_manifest(content, member.descriptor.digest).config
        return read_config(content, config.digest).platform
    except (NotFound, InvalidArgument):
        return None


def choose(content: ContentStore, target: Descriptor, platform: Platform) -> Descriptor | None:
    """Return the manifest that serves `platform` best of those that are here; None if none does."""
    best: tuple[int, Descriptor] | None = None
    for member in members(content, target):
        offered = platform_of(content, member) if member.kind is Kind.IMAGE else None
        position = None if offered is None else rank(platform, offered)
        if position is None or (best is not None and best[0] <= position):
            continue
        if is_whole(content, member.descriptor):
            best = position, member.descriptor
    return None if best is None else best[1]


def images_here(content: ContentStore, target: Descriptor) -> list[Descriptor]:
    """Return the manifests of images that are here with all they consist of."""
    return [
        member.descriptor
        for member in members(content, target)
        if member.kind is Kind.IMAGE and is_whole(content, member.descriptor)
    ]


def _walk(content: ContentStore, target: Descriptor) -> Iterator[Descriptor]:
    pending = [(target, 0)]
    seen = {target.digest}
    while pending:
        entry, depth = pending.pop()
        yield entry
        if not entry.is_index:
            continue
        if depth >= MAX_NESTING:
            raise InvalidArgument(f"index {target.digest}: indexes are nested too deep")
        below = [each for each in children(content, entry) if each.digest not in seen]
        pending += [(each, depth + 1) for each in {each.digest: each for each in below}.values()][
            ::-1
        ]
        seen.update(each.digest for each in below)
        if len(seen) > MAX_MEMBERS:
            raise InvalidArgument(f"index {target.digest}: more than {MAX_MEMBERS} manifests")


def _parts(content: ContentStore, manifest: Descriptor) -> tuple[Descriptor, ...]:
    try:
        return children(content, manifest)
    except (InvalidArgument, DataLoss):
        return ()  # it says nothing that anybody could use


def _member(content: ContentStore, entry: Descriptor) -> Member:
    if is_attestation(entry):
        if entry.annotations[REFERENCE_TYPE] == "attestation-manifest":
            return Member(entry, Kind.ATTESTATION, entry.annotations.get(REFERENCE_DIGEST, ""))
        return Member(entry, Kind.UNKNOWN)
    platform = entry.platform
    if not entry.is_manifest or entry.artifact_type:
        return Member(entry, Kind.UNKNOWN)
    if platform is not None and _UNKNOWN in (platform.os, platform.architecture):
        return Member(entry, Kind.UNKNOWN)
    try:
        kind_of_config = read_manifest(content, entry.digest).config.media_type
    except NotFound:
        return Member(entry, Kind.IMAGE)  # as far as anybody can tell
    except (InvalidArgument, DataLoss):
        return Member(entry, Kind.UNKNOWN)
    return Member(entry, Kind.IMAGE if kind_of_config in CONFIGS else Kind.UNKNOWN)
