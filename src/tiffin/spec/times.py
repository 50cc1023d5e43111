"""Moments as RFC 3339 has them, with nanoseconds since 1970 in UTC as their number."""

import re
import time

_SECOND = 1_000_000_000
_RFC3339 = (
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9})\d*)?)?([Zz]|[+-]\d\d:?\d\d)?"
)


def format_time(time_ns: int) -> str:
    """Return `2006-01-02T15:04:05.999999999Z`: UTC, trailing zeros dropped (RFC3339Nano of Go)."""
    seconds, fraction = divmod(time_ns, _SECOND)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{stamp}.{fraction:09d}".rstrip("0").rstrip(".") + "Z" if fraction else f"{stamp}Z"


def parse_time(text: str) -> int:
    """Return the nanoseconds of a moment; ValueError.

    As with Docker, the zone (UTC), the seconds or all of the time (midnight) may be left out.
    """
    match = re.fullmatch(_RFC3339, text)
    if match is None:
        raise ValueError(f"not a time as in RFC 3339: {text!r}")
    from datetime import datetime  # 2 ms

    date, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    seconds = int(datetime.fromisoformat(f"{date}T{clock or '00:00:00'}{zone}").timestamp())
    return seconds * _SECOND + int((fraction or "").ljust(9, "0"))
