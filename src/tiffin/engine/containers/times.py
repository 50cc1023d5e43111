"""Times in the forms that Docker's clients read."""

import re

from tiffin.errors import InvalidArgument
from tiffin.spec import times

ZERO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time: never."""

_UNIX = re.compile(r"(-?\d{1,12})(?:\.(\d{1,9}))?")


def rfc3339(time_ns: int) -> str:
    """Return RFC 3339 in UTC with as many decimals as are needed; 0 is Go's zero time."""
    return times.format_time(time_ns) if time_ns else ZERO_TIME


def parse_time(text: str) -> int:
    """Return Unix ns of `1700000000[.123]` or RFC 3339; "" is 0; InvalidArgument."""
    if not text:
        return 0
    unix = _UNIX.fullmatch(text)
    if unix:
        seconds, fraction = int(unix[1]), int((unix[2] or "").ljust(9, "0") or 0)
        return seconds * 1_000_000_000 + fraction
    try:
        return times.parse_time(text)
    except ValueError as error:
        raise InvalidArgument(f'invalid value: "{text}": {error}') from error
