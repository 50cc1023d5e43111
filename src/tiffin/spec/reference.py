"""Image references: `[domain/]path[:tag][@digest]`, with Docker's defaults and error texts.

A `Reference` is always normalised: `ubuntu` is `docker.io/library/ubuntu`. The *familiar* form is
what users write and read, the *canonical* form (`str`) is what is stored.
Grammar: the reference grammar of the distribution project, which Docker and OCI registries share.
"""

import re
from dataclasses import dataclass, replace

from tiffin.errors import InvalidArgument
from tiffin.spec.digest import Digest, parse_digest

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_DEFAULT_DOMAIN = "index.docker.io"
_OFFICIAL = "library/"
_NAME_LENGTH = 255
_NO_DIGEST = Digest("")

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(
    rf"(?P<domain>{_HOST})/(?P<path>{_COMPONENT}(?:/{_COMPONENT})*)"
    rf"(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_TAG_ONLY = re.compile(_TAG)
_FULL_ID = re.compile(r"[a-f0-9]{64}")
_FULL_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """A normalised name of an image; `tag` and `digest` are "" where they are not given."""

    domain: str
    path: str
    tag: str = ""
    digest: Digest = _NO_DIGEST

    def __str__(self) -> str:
        return self.repository + self._suffix()

    @property
    def repository(self) -> str:
        """The canonical name without tag and digest, e.g. `docker.io/library/ubuntu`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The repository as users write it, e.g. `ubuntu`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        official, _, rest = self.path.partition("/")
        return rest if official == "library" and rest and "/" not in rest else self.path

    @property
    def familiar(self) -> str:
        """The whole reference as users write it, e.g. `ubuntu:latest`."""
        return self.familiar_repository + self._suffix()

    @property
    def is_bare(self) -> bool:
        """Whether neither tag nor digest is given."""
        return not self.tag and not self.digest

    def with_default_tag(self) -> "Reference":
        """Return the same reference, with `latest` if it is bare."""
        return replace(self, tag=DEFAULT_TAG) if self.is_bare else self

    def with_tag(self, tag: str) -> "Reference":
        """Return `repository:tag`; InvalidArgument if `tag` is not one."""
        return replace(self, tag=parse_tag(tag), digest=_NO_DIGEST)

    def with_digest(self, digest: Digest) -> "Reference":
        """Return `repository@digest`, without a tag."""
        return replace(self, tag="", digest=digest)

    def bare(self) -> "Reference":
        """Return the repository alone."""
        return replace(self, tag="", digest=_NO_DIGEST)

    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse_reference(text: str) -> Reference:
    """Parse and normalise what a user wrote; InvalidArgument with Docker's text otherwise.

    No default tag is added: see `Reference.with_default_tag`.
    """
    if _FULL_ID.fullmatch(text):
        raise InvalidArgument(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
        )
    domain, remainder = _split_domain(text)
    remote = remainder.partition(":")[0]
    if remote != remote.lower():
        raise InvalidArgument(
            f"invalid reference format: repository name ({remote}) must be lowercase"
        )
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    if match is None:
        raise InvalidArgument("invalid reference format")
    if (
        len(match["path"]) > _NAME_LENGTH
        or len(match["domain"]) + len(match["path"]) > _NAME_LENGTH
    ):
        raise InvalidArgument(f"repository name must not be more than {_NAME_LENGTH} characters")
    digest = parse_digest(match["digest"]) if match["digest"] else _NO_DIGEST
    return Reference(match["domain"], match["path"], match["tag"] or "", digest)


def parse_tag(text: str) -> str:
    """Return `text` as a tag; InvalidArgument otherwise."""
    if not _TAG_ONLY.fullmatch(text):
        raise InvalidArgument("invalid tag format")
    return text


def as_image_id(text: str) -> Digest | None:
    """Return the image ID that `text` spells in full, if it does; `sha256:` may be left out."""
    if _FULL_ID.fullmatch(text):
        return Digest(f"sha256:{text}")
    return Digest(text) if _FULL_DIGEST.fullmatch(text) else None


def _split_domain(text: str) -> tuple[str, str]:
    """Split off the registry, which is told from a path component by `.`, `:` or `localhost`."""
    first, slash, rest = text.partition("/")
    if not slash:
        return DEFAULT_DOMAIN, _OFFICIAL + text
    if first == "localhost" or any(mark in first for mark in ".:") or first != first.lower():
        domain, remainder = first, rest
    else:
        domain, remainder = DEFAULT_DOMAIN, text
    if domain == _LEGACY_DEFAULT_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = _OFFICIAL + remainder
    return domain, remainder
