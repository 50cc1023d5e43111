"""The writer: ustar, with PAX records only where ustar cannot say it; deterministic."""

import os
from collections.abc import Iterable
from typing import Protocol

from tiffin.errors import InvalidArgument
from tiffin.fs.tar import header, pax
from tiffin.fs.tar.entry import Entry, EntryKind

CHUNK = 1 << 20


class Sink(Protocol):
    """Where the archive goes: `write` takes all of `data`."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take some bytes."""


class TarWriter:
    """Write entries to `sink`; `finish` writes the end mark and leaves the sink open."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def add(self, entry: Entry, data: bytes | Iterable[bytes | memoryview] = b"") -> None:
        """Write one entry with its data; the data's length must be `entry.size`, else ValueError.

        `extents` are not written: data has the holes as zeros. InvalidArgument if a name cannot be
        written at all.
        """
        size = entry.size if entry.kind is EntryKind.FILE else 0
        self._sink.write(encode_entry(entry, size))
        written = 0
        for piece in (data,) if isinstance(data, bytes) else data:
            self._sink.write(piece)
            written += len(piece)
        if written != size:
            raise ValueError(f"{entry.name!r} has {written} bytes of data, not {size}")
        self._pad(size)

    def add_file(self, entry: Entry, fd: int) -> None:
        """Write one regular file with data from `fd`.

        If the file changes its length meanwhile, the entry keeps the length announced: cut, or
        filled with zeros.
        """
        self.add(entry, _exactly(fd, entry.size))

    def finish(self) -> None:
        """Write the end mark, two zero blocks."""
        self._sink.write(header.ZEROS * 2)

    def _pad(self, size: int) -> None:
        if padding := -size % header.BLOCK:
            self._sink.write(header.ZEROS[:padding])


def _exactly(fd: int, size: int) -> Iterable[bytes]:
    while size:
        data = os.read(fd, min(size, CHUNK)) or bytes(min(size, CHUNK))
        size -= len(data)
        yield data


def encode_entry(entry: Entry, size: int) -> bytes:
    """Return the header blocks of one entry, the extended header first if there is one."""
    name = os.fsencode(entry.name)
    if not name or b"\0" in name:
        raise InvalidArgument(f"name {entry.name!r} cannot be in a tar archive")
    if entry.kind is EntryKind.DIRECTORY and not name.endswith(b"/"):
        name += b"/"
    records: list[tuple[str, bytes]] = []
    prefix, short = _split(name, records)
    seconds, fraction = divmod(entry.mtime_ns, pax.NANOSECONDS)
    if fraction or not 0 <= seconds < header.OCTAL_11:
        records.append(("mtime", pax.format_time(entry.mtime_ns)))
        seconds = min(max(seconds, 0), header.OCTAL_11 - 1)
    head = header.Header(
        name=short,
        mode=entry.mode & 0o7777,
        uid=_bounded("uid", entry.uid, header.OCTAL_7, records),
        gid=_bounded("gid", entry.gid, header.OCTAL_7, records),
        size=_bounded("size", size, header.OCTAL_11, records),
        mtime=seconds,
        flag=entry.kind.value.encode(),
        link=_text("linkpath", entry.link, header.NAME_LENGTH, records),
        user=_text("uname", entry.user, 31, records),
        group=_text("gname", entry.group, 31, records),
        major=entry.major,
        minor=entry.minor,
    )
    records.extend((pax.XATTR + key, entry.xattrs[key]) for key in sorted(entry.xattrs))
    return _extended(name, records) + header.encode(head, prefix)


def _extended(name: bytes, records: list[tuple[str, bytes]]) -> bytes:
    if not records:
        return b""
    data = pax.encode(sorted(records))
    parent, _, base = name.rstrip(b"/").rpartition(b"/")
    alias = b"/".join(part for part in (parent, b"PaxHeaders.0", base) if part)
    head = header.Header(
        _ascii(alias)[: header.NAME_LENGTH], 0o644, 0, 0, len(data), 0, b"x", b""
    )  # fmt: skip
    return header.encode(head) + data + bytes(-len(data) % header.BLOCK)


def _split(name: bytes, records: list[tuple[str, bytes]]) -> tuple[bytes, bytes]:
    fitting = header.split_name(name) if name.isascii() else None
    if fitting is None:
        records.append(("path", name))
        return b"", _ascii(name)[: header.NAME_LENGTH]
    return fitting


def _bounded(key: str, value: int, limit: int, records: list[tuple[str, bytes]]) -> int:
    if value < limit:
        return value
    records.append((key, str(value).encode()))
    return 0


def _text(key: str, value: str, length: int, records: list[tuple[str, bytes]]) -> bytes:
    raw = os.fsencode(value)
    if b"\0" in raw:
        raise InvalidArgument(f"{key} {value!r} cannot be in a tar archive")
    if len(raw) <= length and raw.isascii():
        return raw
    records.append((key, raw))
    return _ascii(raw)[:length]


def _ascii(raw: bytes) -> bytes:
    return bytes(byte for byte in raw if byte < 0x80)
