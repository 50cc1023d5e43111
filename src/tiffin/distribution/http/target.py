"""What a URL below `/v2/` is about; names may look like endpoints, so that the end decides."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from tiffin.distribution.names import parse_name


class Kind(Enum):
    """The endpoints of the spec, by their URLs."""

    BASE = auto()
    CATALOG = auto()
    BLOB = auto()
    UPLOADS = auto()
    UPLOAD = auto()
    MANIFEST = auto()
    TAGS = auto()
    REFERRERS = auto()


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint, the repository's name and what follows it (tag, digest, upload)."""

    kind: Kind
    name: str = ""
    rest: str = ""


_PATTERNS: list[tuple[re.Pattern[str], Kind]] = [
    (re.compile(r"(.+)/blobs/uploads/?"), Kind.UPLOADS),
    (re.compile(r"(.+)/blobs/uploads/([^/]+)"), Kind.UPLOAD),
    (re.compile(r"(.+)/tags/list"), Kind.TAGS),
    (re.compile(r"(.+)/blobs/([^/]+)"), Kind.BLOB),
    (re.compile(r"(.+)/manifests/([^/]+)"), Kind.MANIFEST),
    (re.compile(r"(.+)/referrers/([^/]+)"), Kind.REFERRERS),
]


def parse_target(path: str) -> Target | None:
    """Return what `path` (decoded, with its leading `/v2/`) is about, None for nothing known.

    NAME_INVALID if the endpoint is known but the name is not one.
    """
    rest = path.removeprefix("/v2/")
    if rest in ("", "/v2"):
        return Target(Kind.BASE)
    if rest == "_catalog":
        return Target(Kind.CATALOG)
    for pattern, kind in _PATTERNS:
        if match := pattern.fullmatch(rest):
            return Target(kind, parse_name(match[1]), match[2] if match.lastindex == 2 else "")
    return None
