r"""PAX extended header records, `<length> <key>=<value>\\n` (POSIX pax, Extended Header)."""

import os
import re
from collections.abc import Iterable

from tiffin.errors import InvalidArgument

XATTR = "SCHILY.xattr."

_TIME = re.compile(r"(-?)(\d{1,19})(?:\.(\d+))?")
NANOSECONDS = 10**9
MAX_NUMBER = 2**63


def parse(data: bytes) -> list[tuple[str, bytes]]:
    """Return the records of an extended header in order; InvalidArgument."""
    records = []
    at = 0
    while at < len(data) and data[at]:
        space = data.find(b" ", at, at + 20)
        digits = data[at:space]
        if space < 0 or not digits.isdigit():
            raise InvalidArgument("malformed extended header record")
        end = at + int(digits)
        equals = data.find(b"=", space, end)
        if end > len(data) or data[end - 1 : end] != b"\n" or equals <= space + 1:
            raise InvalidArgument("malformed extended header record")
        key = os.fsdecode(data[space + 1 : equals])
        records.append((key, data[equals + 1 : end - 1]))
        at = end
    return records


def encode(records: Iterable[tuple[str, bytes]]) -> bytes:
    """Return records as the data of an extended header."""
    return b"".join(_record(os.fsencode(key), value) for key, value in records)


def _record(key: bytes, value: bytes) -> bytes:
    body = b" %b=%b\n" % (key, value)
    length = len(body)
    while (total := len(body) + len(str(length))) != length:
        length = total
    return b"%d%b" % (length, body)


def text(value: bytes) -> str:
    """Return a record's value as a path or name; InvalidArgument if it holds a NUL."""
    if b"\0" in value:
        raise InvalidArgument("extended header value holds a NUL byte")
    return os.fsdecode(value)


def number(value: bytes) -> int:
    """Return a record's value as a count below 2⁶³; InvalidArgument."""
    if not value.isdigit() or len(value) > 19 or int(value) >= MAX_NUMBER:
        raise InvalidArgument(f"malformed number {os.fsdecode(value)!r} in extended header")
    return int(value)


def time_ns(value: bytes) -> int:
    """Return a record's value, seconds with a fraction, as nanoseconds; InvalidArgument."""
    match = _TIME.fullmatch(os.fsdecode(value))
    if match is None:
        raise InvalidArgument(f"malformed time {os.fsdecode(value)!r} in extended header")
    sign, seconds, fraction = match.groups()
    total = int(seconds) * NANOSECONDS + int((fraction or "0")[:9].ljust(9, "0"))
    return -total if sign else total


def format_time(ns: int) -> bytes:
    """Return nanoseconds as a time record's value, without trailing zeros."""
    seconds, rest = divmod(abs(ns), NANOSECONDS)
    body = f"{seconds}.{rest:09d}".rstrip("0").rstrip(".")
    return f"{'-' if ns < 0 else ''}{body}".encode()
