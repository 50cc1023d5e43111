"""Times as records hold them: RFC 3339 with nanoseconds, so that their texts sort by time."""

from datetime import UTC, datetime
from time import time_ns


def now() -> str:
    """Return the present time."""
    return moment(time_ns())


def moment(ns: int) -> str:
    """Return a Unix time in ns."""
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"
