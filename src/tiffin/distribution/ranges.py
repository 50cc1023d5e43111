"""Byte ranges: of downloads (`Range`, RFC 9110 section 14) and uploads (`Content-Range`, spec)."""

import re
from dataclasses import dataclass

_ONE = re.compile(r"bytes=[ \t]*([0-9]{0,20})-([0-9]{0,20})[ \t]*", re.IGNORECASE)
_UPLOAD = re.compile(r"(?:bytes[ =])?([0-9]{1,20})-([0-9]{1,20})(?:/(?:[0-9]{1,20}|\*))?")


class Unsatisfiable(Exception):
    """No byte of the range exists."""


class Malformed(Exception):
    """The header is not what its grammar allows."""


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.last - self.first + 1

    def of(self, size: int) -> str:
        """Return the value of the answer's `Content-Range`."""
        return f"bytes {self.first}-{self.last}/{size}"


def parse_range(header: str, size: int) -> ByteRange | None:
    """Return the part of `size` bytes that is asked for, None for all of them; Unsatisfiable.

    A malformed range, one of another unit and several at once are ignored, as RFC 9110 allows.
    """
    match = _ONE.fullmatch(header)
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        wanted = min(int(match[2]), size)
        if wanted == 0:
            raise Unsatisfiable
        return ByteRange(size - wanted, size - 1)
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if match[2] and last < first:
        return None
    if first >= size:
        raise Unsatisfiable
    return ByteRange(first, min(last, size - 1))


def parse_content_range(header: str) -> ByteRange:
    """Return where a chunk belongs; Malformed. The spec's form is `0-9`; HTTP's is taken too."""
    match = _UPLOAD.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        raise Malformed(f"invalid Content-Range {header[:100]!r}")
    return ByteRange(int(match[1]), int(match[2]))
