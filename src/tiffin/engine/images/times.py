"""Times in image documents, and in filters that name a moment."""

import re
import time
from datetime import UTC, datetime, timedelta

from tiffin.errors import InvalidArgument
from tiffin.spec import times
from tiffin.spec.durations import parse_duration

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_time(text: str) -> datetime | None:
    """Parse RFC 3339 to microseconds; None if it is no time, or Go's zero time."""
    try:
        moment = _EPOCH + timedelta(microseconds=times.parse_time(text) // 1000)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year > 1 else None


def parse_moment(text: str, now: float | None = None) -> datetime:
    """Parse what `until` takes: Unix seconds, a date, or a Go duration before now."""
    base = time.time() if now is None else now
    try:
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return datetime.fromtimestamp(float(text), UTC)
        if re.fullmatch(r"[+-]?[\d.]+[a-zµμ].*", text):
            before = timedelta(microseconds=parse_duration(text) / 1000)
            return datetime.fromtimestamp(base, UTC) - before
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidArgument(f"invalid time {text!r}: {error}") from error
    moment = parse_time(text)
    if moment is None:
        raise InvalidArgument(f'failed to parse value as time or duration: "{text}"')
    return moment
