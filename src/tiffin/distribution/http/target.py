"""What a URL below `/v2/` is about; names may look like endpoints, so that the end decides."""

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


_BY_WORD = {"blobs": Kind.BLOB, "manifests": Kind.MANIFEST, "referrers": Kind.REFERRERS}


def parse_target(path: str) -> Target | None:
    """Return what `path` (decoded, with its leading `/v2/`) is about, None for nothing known.

    NAME_INVALID if the endpoint is known but the name is not one.
    """
    rest = path.removeprefix("/v2/")
    if rest in ("", "/v2"):
        return Target(Kind.BASE)
    if rest == "_catalog":
        return Target(Kind.CATALOG)
    if rest.endswith("/blobs/uploads"):
        rest += "/"  # clients have been seen to leave it out
    before, _, last = rest.rpartition("/")
    name, _, word = before.rpartition("/")
    if name.endswith("/blobs") and word == "uploads":
        name = name.removesuffix("/blobs")
        return Target(Kind.UPLOAD if last else Kind.UPLOADS, parse_name(name), last)
    if word == "tags" and last == "list":
        return Target(Kind.TAGS, parse_name(name))
    kind = _BY_WORD.get(word)
    return Target(kind, parse_name(name), last) if kind and name and last else None
