"""The streaming reader: headers are parsed once, data goes from buffer to file."""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Protocol

from tiffin.errors import InvalidArgument
from tiffin.fs.atomic import write_all
from tiffin.fs.tar import header, pax, sparse
from tiffin.fs.tar.entry import Entry, EntryKind

CHUNK = 1 << 20
MAX_SPECIAL = 1 << 20
"""Bytes of one extended header or long name."""
MAX_GLOBAL_RECORDS = 4096

_KINDS: dict[bytes, EntryKind] = {kind.value.encode(): kind for kind in EntryKind}
_KINDS |= {b"\0": EntryKind.FILE, b"7": EntryKind.FILE, b"S": EntryKind.FILE}
_ZEROS = bytes(1 << 16)
_ENCODING = sys.getfilesystemencoding()


def text(raw: bytes) -> str:
    """Decode a name as the system does, undecodable bytes as surrogates (PEP 383)."""
    return raw.decode(_ENCODING, "surrogateescape") if raw else ""


class Source(Protocol):
    """Where the archive comes from: `read` returns up to `size` bytes, b"" at the end."""

    def read(self, size: int, /) -> bytes:
        """Return some bytes."""


class TarReader:
    """Iterate over the entries of a stream; between two of them, take the current one's data.

    Data that is not taken is skipped. Malformed archives raise InvalidArgument that names the entry
    where it went wrong (`after` the last good one if it has no name yet).
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0
        self._left = 0
        self._padding = 0
        self._current: Entry | None = None
        self._last = ""
        self._globals: dict[str, bytes] = {}

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            yield entry

    def drain(self) -> None:
        """Read the stream to its end: whatever follows the archive's end mark."""
        self._buffer, self._at = b"", 0
        while self._source.read(CHUNK):
            pass

    # Data of the current entry

    def chunks(self) -> Iterator[memoryview]:
        """Yield the current entry's data, holes of a sparse file as zeros."""
        entry = self._current
        if entry is None or entry.extents is None:
            while self._left:
                yield self._piece(self._left)
            return
        at = 0
        for offset, length in (*entry.extents, (entry.size, 0)):
            while at < offset:
                zeros = memoryview(_ZEROS)[: offset - at]
                at += len(zeros)
                yield zeros
            end = offset + length
            while at < end:
                piece = self._piece(end - at)
                at += len(piece)
                yield piece

    def read(self, limit: int) -> bytes:
        """Return the current entry's data; InvalidArgument if it is longer than `limit` bytes."""
        if self._current is not None and self._current.size > limit:
            raise InvalidArgument(
                f"tar entry {self._current.name!r}: {self._current.size} bytes are too many, "
                f"at most {limit} are expected"
            )
        return b"".join(self.chunks())

    def copy_to(self, fd: int) -> None:
        """Write the current entry's data to the empty file `fd`, leaving holes; OSError."""
        entry = self._current
        if entry is None or entry.extents is None:
            while self._left:
                write_all(fd, self._piece(self._left))
            return
        for offset, length in entry.extents:
            os.lseek(fd, offset, os.SEEK_SET)
            end = offset + length
            while offset < end:
                piece = self._piece(end - offset)
                write_all(fd, piece)
                offset += len(piece)
        os.ftruncate(fd, entry.size)

    # Headers

    def _next(self) -> Entry | None:
        try:
            return self._next_entry()
        except InvalidArgument as error:
            where = f"after {self._last!r}" if self._last else "at the start"
            raise InvalidArgument(f"malformed tar archive {where}: {error.message}") from error

    def _next_entry(self) -> Entry | None:
        records: list[tuple[str, bytes]] | None = None
        long_name: bytes | None = None
        long_link: bytes | None = None
        while True:
            self._skip(self._left)
            self._left = 0
            # Docker's client leaves out the last padding and the end mark when it edits a context.
            block = self._header_block() if self._skip_padding() else None
            if block is None:
                if records is not None or long_name is not None or long_link is not None:
                    raise InvalidArgument("ends after an extended header")
                return None
            head = header.decode(block)
            if head.flag == b"x":
                records = pax.parse(self._special(head.size))
            elif head.flag == b"g":
                self._remember(pax.parse(self._special(head.size)))
            elif head.flag == b"L":
                long_name = self._special(head.size).partition(b"\0")[0]
            elif head.flag == b"K":
                long_link = self._special(head.size).partition(b"\0")[0]
            else:
                break
        if long_name is not None:
            head.name = long_name
        if long_link is not None:
            head.link = long_link
        entry = self._entry(head, block, records)
        self._current, self._last = entry, entry.name
        return entry

    def _entry(
        self, head: header.Header, block: bytes, records: list[tuple[str, bytes]] | None
    ) -> Entry:
        kind = _KINDS.get(head.flag)
        name = text(head.name)
        if kind is None:
            raise InvalidArgument(f"entry {name!r}: unknown type {head.flag!r}")
        if kind is EntryKind.FILE and head.flag == b"\0" and head.name.endswith(b"/"):
            kind = EntryKind.DIRECTORY
        fields = _Fields(head, name)
        for key, value in self._globals.items():
            fields.apply(key, value)
        if records is not None:
            for key, value in records:
                fields.apply(key, value)
        stored = fields.size if kind is EntryKind.FILE else 0
        if stored < 0 or stored >= pax.MAX_NUMBER:
            raise InvalidArgument(f"entry {fields.name!r}: invalid size {stored}")
        if "\0" in fields.name or not fields.name:
            raise InvalidArgument("entry without a name")
        self._left, self._padding = stored, -stored % header.BLOCK
        size, extents = stored, None
        if head.flag == b"S":
            size, extents, blocks = sparse.old_gnu(block, self._take)
            del blocks
        elif fields.sparse:
            size, extents, used = sparse.from_pax(fields.sparse, stored, self._take)
            self._left -= used
        if extents is not None:
            sparse.check(fields.name, size, extents, self._left)
        return Entry(
            fields.name, kind, head.mode & 0o7777, fields.uid, fields.gid, size, fields.mtime_ns,
            fields.link, fields.user, fields.group, head.major, head.minor, fields.xattrs, extents,
        )  # fmt: skip

    def _remember(self, records: list[tuple[str, bytes]]) -> None:
        self._globals.update(records)
        if len(self._globals) > MAX_GLOBAL_RECORDS:
            raise InvalidArgument("too many global extended header records")

    def _special(self, size: int) -> bytes:
        if not 0 <= size <= MAX_SPECIAL:
            raise InvalidArgument(
                f"extended header of {size} bytes, at most {MAX_SPECIAL} are read"
            )
        data = self._take(size)
        self._skip(-size % header.BLOCK)
        return data

    def _header_block(self) -> bytes | None:
        """Return the next header block, None at the end mark or at the end of the stream."""
        block = self._take(header.BLOCK, or_end=True)
        if not block:
            return None
        if block != header.ZEROS:
            return block
        if self._take(header.BLOCK, or_end=True) not in (header.ZEROS, b""):
            raise InvalidArgument("a single zero block amid the entries")
        return None

    # The stream

    def _piece(self, wanted: int) -> memoryview:
        """Take up to `wanted` bytes of the current entry's data, at least one."""
        if self._at >= len(self._buffer):
            self._refill()
        piece = memoryview(self._buffer)[self._at : self._at + wanted]
        self._at += len(piece)
        self._left -= len(piece)
        return piece

    def _take(self, size: int, *, or_end: bool = False) -> bytes:
        """Take exactly `size` bytes; with `or_end` nothing at all is fine at the stream's end."""
        end = self._at + size
        if end <= len(self._buffer):
            taken = self._buffer[self._at : end]
            self._at = end
            return taken
        pieces = [self._buffer[self._at :]]
        missing = size - len(pieces[0])
        self._buffer, self._at = b"", 0
        while missing:
            more = self._source.read(CHUNK)
            if not more:
                if or_end and not any(pieces):
                    return b""
                raise InvalidArgument("unexpected end of the archive")
            self._buffer, self._at = more, min(missing, len(more))
            pieces.append(more[: self._at])
            missing -= self._at
        return b"".join(pieces)

    def _skip(self, size: int) -> None:
        while size:
            if self._at >= len(self._buffer):
                self._refill()
            step = min(size, len(self._buffer) - self._at)
            self._at += step
            size -= step

    def _skip_padding(self) -> bool:
        """Skip what fills up the last block of data; False if the stream ends in it."""
        while self._padding:
            if self._at >= len(self._buffer):
                self._buffer, self._at = self._source.read(CHUNK), 0
                if not self._buffer:
                    self._padding = 0
                    return False
            step = min(self._padding, len(self._buffer) - self._at)
            self._at += step
            self._padding -= step
        return True

    def _refill(self) -> None:
        self._buffer, self._at = self._source.read(CHUNK), 0
        if not self._buffer:
            raise InvalidArgument("unexpected end of the archive")


class _Fields:
    """The fields that extended headers may override."""

    __slots__ = (
        "gid", "group", "link", "mtime_ns", "name", "size", "sparse", "uid", "user", "xattrs",
    )  # fmt: skip

    def __init__(self, head: header.Header, name: str) -> None:
        self.name = name
        self.link = text(head.link)
        self.size = head.size
        self.uid = head.uid
        self.gid = head.gid
        self.mtime_ns = head.mtime * pax.NANOSECONDS
        self.user = text(head.user)
        self.group = text(head.group)
        self.xattrs: dict[str, bytes] = {}
        self.sparse: list[tuple[str, bytes]] = []

    def apply(self, key: str, value: bytes) -> None:
        if key.startswith(pax.XATTR):
            self.xattrs[key[len(pax.XATTR) :]] = value
        elif key.startswith(sparse.PREFIX):
            self._apply_sparse(key, value)
        elif value and (setter := _SETTERS.get(key)) is not None:
            setter(self, value)

    def _apply_sparse(self, key: str, value: bytes) -> None:
        if key == "GNU.sparse.name":
            self.name = pax.text(value)
        else:
            self.sparse.append((key, value))


def _sets(name: str, convert: Callable[[bytes], object]) -> Callable[[_Fields, bytes], None]:
    return lambda fields, value: setattr(fields, name, convert(value))


_SETTERS: dict[str, Callable[[_Fields, bytes], None]] = {
    "path": _sets("name", pax.text),
    "linkpath": _sets("link", pax.text),
    "size": _sets("size", pax.number),
    "uid": _sets("uid", pax.number),
    "gid": _sets("gid", pax.number),
    "mtime": _sets("mtime_ns", pax.time_ns),
    "uname": _sets("user", pax.text),
    "gname": _sets("group", pax.text),
}
