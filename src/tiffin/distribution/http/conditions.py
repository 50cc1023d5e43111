"""Conditional requests (RFC 9110 section 13); the entity tag of content is its digest."""

from collections.abc import Iterable

from aiohttp import web

from tiffin.distribution.manifests import NO_CONDITION, Condition
from tiffin.spec.digest import Digest


def entity_tags(headers: Iterable[str]) -> tuple[str, ...]:
    """Return the tags that a header lists, without quotes and weakness; `*` stays itself."""
    found = (tag.strip().removeprefix("W/").strip('"') for h in headers for tag in h.split(","))
    return tuple(tag for tag in found if tag)


def is_unmodified(request: web.Request, digest: Digest) -> bool:
    """Tell whether the client has this content already (`If-None-Match`)."""
    tags = entity_tags(request.headers.getall("If-None-Match", []))
    return "*" in tags or digest in tags


def wants_range(request: web.Request, digest: Digest) -> bool:
    """Tell whether a `Range` is to be followed, given `If-Range`."""
    expected = request.headers.get("If-Range", "")
    return "Range" in request.headers and (not expected or expected.strip('"') == digest)


def push_condition(request: web.Request) -> Condition:
    """Return the condition under which a manifest may be replaced."""
    condition = Condition(
        entity_tags(request.headers.getall("If-Match", [])),
        entity_tags(request.headers.getall("If-None-Match", [])),
    )
    return condition if condition != NO_CONDITION else NO_CONDITION
