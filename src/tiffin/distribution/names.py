"""Names of repositories and tags, and what stands at the end of a manifest's URL (spec, Pull)."""

import re
from dataclasses import dataclass

from tiffin.distribution.errors import Code, DistributionError
from tiffin.errors import InvalidArgument
from tiffin.spec.digest import Digest, parse_digest

NAME_LENGTH = 255
_COMPONENT = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class TagOrDigest:
    """What names a manifest inside its repository: exactly one of both is set."""

    tag: str = ""
    digest: Digest | None = None

    def __str__(self) -> str:
        return self.digest or self.tag


def parse_name(text: str) -> str:
    """Return the name of a repository; NAME_INVALID."""
    if len(text) > NAME_LENGTH or not _NAME.fullmatch(text):
        raise DistributionError(Code.NAME_INVALID, detail={"name": text[:NAME_LENGTH]})
    return text


def is_tag(text: str) -> bool:
    """Tell whether `text` can be a tag."""
    return _TAG.fullmatch(text) is not None


def digest_in(text: str) -> Digest:
    """Return the digest that a client sent; DIGEST_INVALID."""
    try:
        return parse_digest(text)
    except InvalidArgument as error:
        raise DistributionError(Code.DIGEST_INVALID, str(error), detail=text[:300]) from error


def parse_reference(text: str) -> TagOrDigest:
    """Read the end of a manifest's URL; DIGEST_INVALID, MANIFEST_INVALID for neither of both."""
    if ":" in text:
        return TagOrDigest(digest=digest_in(text))
    if not is_tag(text):
        raise DistributionError(Code.MANIFEST_INVALID, f"invalid tag {text[:200]!r}")
    return TagOrDigest(tag=text)
