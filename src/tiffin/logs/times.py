"""RFC 3339 times with nanoseconds, as log files keep them (`spec.times.format_time`), read fast."""

import time

_SECOND = 1_000_000_000


def parse_time(text: str) -> int:
    """Return Unix time in ns of what `format_time` wrote; ValueError for anything else."""
    if not text.endswith("Z"):
        raise ValueError(f"not a UTC time: {text!r}")
    import calendar  # needed to read logs only, not in a shim

    stamp, _, fraction = text[:-1].partition(".")
    seconds = calendar.timegm(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S"))
    return seconds * _SECOND + (int(fraction[:9].ljust(9, "0")) if fraction else 0)


def fixed_width(text: str) -> str:
    """Return the time with all nine digits, as `docker logs --timestamps` prints it."""
    stamp, _, fraction = text.removesuffix("Z").partition(".")
    return f"{stamp}.{fraction.ljust(9, '0')}Z"
