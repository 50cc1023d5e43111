"""Taking in the members of an image archive, in one pass and without a copy of the whole.

Files become blobs of the content store under a lease; the few documents that describe the archive
stay in memory. Names of members are only compared with each other: none ever becomes a path here.
"""

import hashlib
import posixpath
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field

from tiffin.content.store import ContentStore
from tiffin.errors import AlreadyExists, DataLoss, InvalidArgument
from tiffin.fs.tar import Entry, EntryKind, TarReader
from tiffin.images.lease import Lease
from tiffin.images.manifests import has_blob
from tiffin.images.write import abandoned
from tiffin.layers.bounds import bounded
from tiffin.layers.compression import Source
from tiffin.spec.digest import Digest, parse_digest

_DOCUMENTS = frozenset(("manifest.json", "index.json", "oci-layout"))
_UNUSED = ("/json", "/VERSION")
_MAX_DOCUMENT = 8 << 20
_MAX_MEMBERS = 100_000
_BLOB = re.compile(r"blobs/([a-z0-9]+)/([0-9a-f]+)")
_HEAD = 16


@dataclass(frozen=True, slots=True)
class Blob:
    """A member that is in the content store now; `head` are its first bytes."""

    digest: Digest
    size: int
    head: bytes = b""


@dataclass(slots=True)
class Members:
    """What an archive held."""

    documents: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, Blob] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    new: set[Digest] = field(default_factory=set)
    """Blobs that were not here before."""

    def blob(self, name: str) -> Blob:
        """Return a member by the name that a document gives it; InvalidArgument."""
        wanted = _normal(name)
        for _ in range(16):
            if wanted in self.blobs:
                return self.blobs[wanted]
            if wanted not in self.links:
                break
            wanted = self.links[wanted]
        raise InvalidArgument(f"invalid archive: {name!r} is missing")


def take_in(content: ContentStore, lease: Lease, stream: Source) -> Members:
    """Read a whole, possibly compressed, archive.

    InvalidArgument for malformed ones; DataLoss if a blob does not match its name.
    """
    members = Members()
    reader = TarReader(bounded(stream))
    for count, entry in enumerate(reader):
        if count >= _MAX_MEMBERS:
            raise InvalidArgument(f"invalid archive: more than {_MAX_MEMBERS} members")
        name = _normal(entry.name)
        if entry.kind is EntryKind.FILE:
            if name in _DOCUMENTS:
                members.documents[name] = reader.read(_MAX_DOCUMENT)
            elif name != "repositories" and not name.endswith(_UNUSED):
                members.blobs[name] = _ingest(content, lease, reader, entry, name, members.new)
        elif entry.kind in (EntryKind.SYMLINK, EntryKind.HARD_LINK):
            members.links[name] = _target(entry, name)
        elif entry.kind is not EntryKind.DIRECTORY:
            raise InvalidArgument(f"invalid archive: {entry.name!r} is neither file nor directory")
    reader.drain()
    return members


def _ingest(
    content: ContentStore, lease: Lease, reader: TarReader, entry: Entry, name: str,
    new: set[Digest],
) -> Blob:  # fmt: skip
    match = _BLOB.fullmatch(name)
    expected = parse_digest(f"{match[1]}:{match[2]}") if match else None
    if expected is not None:
        lease.hold(expected)
        if has_blob(content, expected) and content.info(expected).size == entry.size:
            with content.open(expected) as file:
                return Blob(expected, entry.size, file.read(_HEAD))
    head = b""
    # A blob's digest is known from its name; only the older layout makes us find it out.
    hasher = hashlib.sha256() if expected is None else None
    with content.writer(f"load-{secrets.token_hex(16)}") as writer, abandoned(writer):
        for chunk in reader.chunks():
            head = head or bytes(chunk[:_HEAD])
            writer.write(chunk)
            if hasher is not None:
                hasher.update(chunk)
        digest = expected or Digest(f"sha256:{hasher.hexdigest() if hasher else ''}")
        lease.hold(digest)
        try:
            with suppress(AlreadyExists):
                writer.commit(expected=digest, size=entry.size)
                new.add(digest)
        except DataLoss as error:
            raise DataLoss(f"invalid archive: {entry.name!r}: {error.message}") from error
    return Blob(digest, entry.size, head)


def _normal(name: str) -> str:
    """Return a member's name without `./` and `/`; InvalidArgument if it climbs."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidArgument(f"invalid archive: {name!r} leads out of the archive")
    return "/".join(parts)


def _target(entry: Entry, name: str) -> str:
    if entry.kind is EntryKind.HARD_LINK:
        return _normal(entry.link)
    return _normal(posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.link)))
