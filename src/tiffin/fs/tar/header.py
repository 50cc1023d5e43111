"""The 512-byte header block: v7, ustar, star and GNU layouts, read and written.

POSIX pax, ustar Interchange Format; GNU tar manual, Basic Tar Format.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from functools import lru_cache

from tiffin.errors import InvalidArgument

BLOCK = 512
_ADLER_BASE = 65521
ZEROS = bytes(BLOCK)

_LAYOUT = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_SIGNED = struct.Struct("512b")
_USTAR = b"ustar\x0000"
_GNU = b"ustar  \0"
_STAR_TRAILER = b"tar\0"
_STAR_PREFIX = 131

NAME_LENGTH = 100
PREFIX_LENGTH = 155
OCTAL_7 = 8**7
OCTAL_11 = 8**11


@dataclass(slots=True)
class Header:
    """The raw fields of one header block, numbers decoded and strings cut at NUL."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    flag: bytes
    link: bytes
    user: bytes = b""
    group: bytes = b""
    major: int = 0
    minor: int = 0


def decode(block: bytes) -> Header:
    """Decode one block; InvalidArgument."""
    (
        name, mode, uid, gid, size, mtime, checksum, flag, link, magic, user, group, major, minor,
        prefix,
    ) = _LAYOUT.unpack(block)  # fmt: skip
    name = name.partition(b"\0")[0]
    wanted = number(checksum)
    if not _is_sum(block, checksum, wanted) and _signed_sum(block) != wanted:
        raise InvalidArgument(f"header of {os.fsdecode(name)!r}: wrong checksum")
    header = Header(
        name, number(mode), number(uid), number(gid), number(size), number(mtime), flag,
        link.partition(b"\0")[0],
    )  # fmt: skip
    if magic[:5] != b"ustar":
        return header
    header.user = user.partition(b"\0")[0]
    header.group = group.partition(b"\0")[0]
    if flag in b"34":
        header.major, header.minor = number(major), number(minor)
    if magic != _GNU:
        if block[508:] == _STAR_TRAILER:
            prefix = prefix[:_STAR_PREFIX]
        prefix = prefix.partition(b"\0")[0]
        if prefix:
            header.name = prefix + b"/" + name
    return header


@lru_cache(maxsize=4096)  # modes, owners and times are few and come again and again
def number(field: bytes) -> int:
    """Decode octal digits, or GNU's big-endian base 256 where the top bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        width = 8 * len(field)
        return value - (1 << width) if field[0] & 0x40 else value - (1 << (width - 1))
    digits = field.strip(b" \0").partition(b"\0")[0]
    try:
        return int(digits, 8) if digits.isdigit() else _not_digits(digits)
    except ValueError as error:
        raise InvalidArgument(f"malformed number {digits!r} in header") from error


def _is_sum(block: bytes, checksum: bytes, wanted: int) -> bool:
    """Tell whether the bytes sum up to `wanted`, the checksum field counting as eight blanks.

    The lower half of Adler-32 is one plus the sum of all bytes modulo 65521 (RFC 1950, 8.2): as good
    a check as the sum itself, at a tenth of its price.
    """
    total = (zlib.adler32(block) & 0xFFFF) - 1
    return (total - sum(checksum) + 8 * 0x20 - wanted) % _ADLER_BASE == 0


def _not_digits(digits: bytes) -> int:
    if digits:
        raise ValueError(digits)
    return 0


def _signed_sum(block: bytes) -> int:
    """Return the sum that some old writers made, with signed bytes."""
    values: tuple[int, ...] = _SIGNED.unpack(block)
    return sum(values) - sum(values[148:156]) + 256


def encode(header: Header, prefix: bytes = b"") -> bytes:
    """Encode a ustar block; all fields must fit."""
    is_device = header.flag in b"34"
    block = bytearray(
        _LAYOUT.pack(
            header.name, b"%07o" % header.mode, b"%07o" % header.uid, b"%07o" % header.gid,
            b"%011o" % header.size, b"%011o" % header.mtime, b" " * 8, header.flag, header.link,
            _USTAR, header.user, header.group,
            b"%07o" % header.major if is_device else b"0000000",
            b"%07o" % header.minor if is_device else b"0000000", prefix,
        )
    )  # fmt: skip
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def split_name(name: bytes) -> tuple[bytes, bytes] | None:
    """Return (prefix, name) that fit a ustar header, or None if `name` cannot be split."""
    if len(name) <= NAME_LENGTH:
        return b"", name
    cut = name.rfind(b"/", 0, min(PREFIX_LENGTH + 1, len(name) - 1))
    if cut <= 0 or len(name) - cut - 1 > NAME_LENGTH:
        return None
    return name[:cut], name[cut + 1 :]
