"""Sizes, ages and ids as Docker prints them."""

import time

from tiffin.spec.durations import in_words

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(value: float, digits: int = 4) -> str:
    """Return a decimal size with `digits` significant digits, e.g. `74.8MB`."""
    return _scaled(value, 1000.0, _DECIMAL, digits)


def binary_size(value: float, digits: int = 4) -> str:
    """Return a binary size, e.g. `1.5GiB`."""
    return _scaled(value, 1024.0, _BINARY, digits)


def _scaled(value: float, base: float, units: tuple[str, ...], digits: int) -> str:
    step = 0
    while value >= base and step < len(units) - 1:
        value /= base
        step += 1
    return f"{value:.{digits}g}{units[step]}"


def ago(unix_s: float) -> str:
    """Return how long ago something was, e.g. `2 hours ago`; "N/A" for never."""
    return f"{in_words(time.time() - unix_s)} ago" if unix_s > 0 else "N/A"


def ahead(unix_s: float) -> str:
    """Return how long it is until a moment, e.g. `in 23 hours`."""
    return f"in {in_words(max(unix_s - time.time(), 0)).lower()}"


def parse_time(text: str) -> float:
    """Return Unix seconds of an RFC 3339 time as engines print it; 0.0 for Go's zero time."""
    if not text or text.startswith("0001-"):
        return 0.0
    import datetime as dt  # 2 ms

    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[:digits][:6].ljust(6, '0')}{tail[digits:]}"
    return dt.datetime.fromisoformat(text).timestamp()


def local_time(unix_s: float) -> str:
    """Return a time as `CREATED AT` columns show it."""
    import datetime as dt  # 2 ms

    moment = dt.datetime.fromtimestamp(unix_s).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S %z %Z}"


def go_time(text: str) -> str:
    """Return an RFC 3339 time as Go prints it, e.g. `2024-05-01 10:00:00.5 +0000 UTC`."""
    body, zone = text.removesuffix("Z"), "+0000 UTC"
    if not text.endswith("Z") and len(text) > 6 and text[-6] in "+-":
        body, offset = text[:-6], text[-6:].replace(":", "")
        zone = f"{offset} {offset}"
    return f"{body.replace('T', ' ')} {zone}"


def short_id(identifier: str, *, truncate: bool = True) -> str:
    """Return an id in its 12-digit form, without the algorithm."""
    return identifier.rpartition(":")[2][:12] if truncate else identifier


def iso_time(unix_s: float) -> str:
    """Return a local time in RFC 3339, with a `Z` for UTC."""
    import datetime as dt  # 2 ms

    moment = dt.datetime.fromtimestamp(unix_s).astimezone()
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def pairs(labels: dict[str, str] | None) -> str:
    """Return `a=1,b=2` of a mapping, sorted."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))
