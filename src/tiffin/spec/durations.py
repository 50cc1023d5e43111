"""Spans of time, in the words that `docker ps` made familiar and in Go's notation."""

import re


def in_words(seconds: float) -> str:
    """Return a span in the words of `docker ps`, e.g. `About a minute`, `3 weeks`."""
    whole = int(seconds)
    minutes, hours = whole // 60, round(seconds / 3600)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"


def in_go(nanoseconds: int) -> str:
    """Return a span that is not negative as Go prints it, e.g. `1m30s`, `50ms`, `0s`."""
    for unit, size in (("ns", 10**3), ("µs", 10**6), ("ms", 10**9)):
        if 0 < nanoseconds < size:
            return f"{nanoseconds * 1000 / size:.6f}".rstrip("0").rstrip(".") + unit
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 10**9:.9f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


_UNITS_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9,
             "m": 60 * 10**9, "h": 3600 * 10**9}  # fmt: skip
_PART = r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"([+-]?)((?:{_PART})+|0)")


def parse_duration(text: str) -> int:
    """Return the nanoseconds of Go's notation (`1m30s`, `-1.5h`); ValueError in Go's words."""
    match = _DURATION.fullmatch(text)
    if match is None:
        what = "missing unit in" if re.fullmatch(r"[+-]?[\d.]*\d[\d.]*", text) else "invalid"
        raise ValueError(f'time: {what} duration "{text}"')
    parts = re.findall(_PART, match[2])
    total = sum(round(float(number) * _UNITS_NS[unit]) for number, unit in parts)
    return -total if match[1] == "-" else total
