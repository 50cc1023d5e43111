"""`--since` and `--until`: Unix times, durations back from now, and dates in local time."""

import datetime as dt
import re
import time

from tiffin.cli.flags import parse_duration

_UNIX = re.compile(r"-?\d+(\.\d+)?")
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(\.\d+)?)?)?)?(Z|[+-]\d\d:\d\d)?"
)


def unix_time(text: str, now_ns: int | None = None) -> str:
    """Return Unix seconds with nine decimals, "" for ""; ValueError with Docker's text."""
    if not text or _UNIX.fullmatch(text):
        return text
    now_ns = time.time_ns() if now_ns is None else now_ns
    try:
        return _decimal(now_ns - parse_duration(text))
    except ValueError:
        pass
    match = _DATE.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        return _decimal(_of_date(match))
    except ValueError:
        raise ValueError(f'failed to parse value as time or duration: "{text}"') from None


def _of_date(match: re.Match[str]) -> int:
    year, month, day, hour, minute, second = (int(match[n] or 0) for n in range(1, 7))
    moment = dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001  # local if no zone
    zone = match[8]
    if zone:
        moment = dt.datetime.fromisoformat(f"{moment.isoformat()}{zone.replace('Z', '+00:00')}")
    fraction = (match[7] or ".0")[1:10].ljust(9, "0")
    return int(moment.timestamp()) * 10**9 + int(fraction)


def _decimal(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{seconds}.{rest:09d}"
