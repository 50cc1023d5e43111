"""Times in image documents, and in filters that name a moment."""

import re
import time
from datetime import UTC, datetime, timedelta

from tiffin.errors import InvalidArgument

_RFC3339 = re.compile(
    r"(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9})\d*)?)?"
    r"(Z|[+-]\d{2}:\d{2})?"
)
_DURATION = re.compile(r"(?:(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h))")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_time(text: str) -> datetime | None:
    """Parse RFC 3339 to microseconds; None if it is no time, or Go's zero time."""
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    if clock is not None and clock.count(":") == 1:
        clock += ":00"
    micro = (fraction or "")[:6].ljust(6, "0")
    offset = "+00:00" if zone in (None, "Z") else zone
    try:
        moment = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}.{micro}{offset}")
        return moment.astimezone(UTC) if moment.year > 1 else None
    except (ValueError, OverflowError):
        return None


def parse_moment(text: str, now: float | None = None) -> datetime:
    """Parse what `until` takes: Unix seconds, a date, or a Go duration before now."""
    base = time.time() if now is None else now
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        parts = _DURATION.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
            return datetime.fromtimestamp(base, UTC) - timedelta(seconds=seconds)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidArgument(f"invalid time {text!r}: {error}") from error
    moment = parse_time(text)
    if moment is None:
        raise InvalidArgument(f'failed to parse value as time or duration: "{text}"')
    return moment
