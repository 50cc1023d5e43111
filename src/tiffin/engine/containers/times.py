"""Times and durations in the forms that Docker's clients read."""

import re
from datetime import UTC, datetime

from tiffin.errors import InvalidArgument

ZERO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time: never."""

_UNIX = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9}))?")
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)?"
)


def rfc3339(time_ns: int) -> str:
    """Return RFC 3339 in UTC with as many decimals as are needed; 0 is Go's zero time."""
    if not time_ns:
        return ZERO_TIME
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    decimals = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{text}{decimals}Z"


def parse_time(text: str) -> int:
    """Return Unix ns of `1700000000[.123]` or RFC 3339; "" is 0; InvalidArgument."""
    if not text:
        return 0
    unix = _UNIX.fullmatch(text)
    if unix:
        seconds, fraction = int(unix[1]), int((unix[2] or "").ljust(9, "0") or 0)
        return seconds * 1_000_000_000 + fraction
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise InvalidArgument(f'invalid value: "{text}": not a Unix time nor RFC 3339')
    date, clock, fraction_text, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        moment = datetime.fromisoformat(f"{date}T{clock or '00:00:00'}{zone}")
    except ValueError as error:
        raise InvalidArgument(f'invalid value: "{text}": {error}') from error
    nanoseconds = int((fraction_text or ".0")[1:].ljust(9, "0"))
    return int(moment.timestamp()) * 1_000_000_000 + nanoseconds
