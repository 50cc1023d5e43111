"""The `until` filter: a moment, or a duration before now (`24h`, `1h30m`)."""

import re
from collections.abc import Sequence

from tiffin.engine.containers.times import parse_time
from tiffin.errors import InvalidArgument

_UNITS_NS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
    "h": 3600 * 10**9,
}  # fmt: skip
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")


def parse_until(values: Sequence[str], now_ns: int) -> int | None:
    """Return Unix ns, None without the filter; InvalidArgument."""
    if not values:
        return None
    if len(values) > 1:
        raise InvalidArgument("more than one until filter specified")
    text = values[0]
    duration = parse_duration(text)
    return now_ns - duration if duration is not None else parse_time(text)


def parse_duration(text: str) -> int | None:
    """Return nanoseconds of Go's duration notation, None if it is not that."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return int(sum(float(number) * _UNITS_NS[unit] for number, unit in parts))
