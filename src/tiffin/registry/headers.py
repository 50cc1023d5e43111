"""Response headers that steer a client: `Retry-After` and `Link`.

Both come from strangers: what cannot be understood counts as not sent.
"""

import email.utils
import re
from collections.abc import Iterable
from datetime import UTC, datetime

_DIGITS = re.compile(r"\d{1,9}")
_TARGET = re.compile(r"\s*<([^<>]*)>")
_PARAMETER = re.compile(
    r'\s*;\s*([A-Za-z0-9!#$&+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))'
)
_SEPARATOR = re.compile(r"\s*(?:,|$)")


def retry_after_s(text: str, now: datetime | None = None) -> float:
    """Return the seconds that `Retry-After` asks to wait, 0 if none (RFC 9110, section 10.2.3)."""
    text = text.strip()
    if _DIGITS.fullmatch(text):
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def next_link(headers: Iterable[str]) -> str:
    """Return where the next page is, "" if this is the last (RFC 8288, section 3)."""
    for header in headers:
        position = 0
        while target := _TARGET.match(header, position):
            position = target.end()
            relations: list[str] = []
            while parameter := _PARAMETER.match(header, position):
                position = parameter.end()
                name, quoted, plain = parameter.groups()
                if name.lower() == "rel" and not relations:  # only the first counts
                    relations = (plain if quoted is None else quoted).lower().split() or [""]
            if "next" in relations:
                return target[1]
            separator = _SEPARATOR.match(header, position)
            if separator is None:
                break
            position = separator.end()
    return ""
