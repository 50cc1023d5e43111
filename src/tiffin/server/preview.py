"""`dry-run=1` of the prune operations: an extension that tells what would be removed."""

from aiohttp import web
from msgspec import field

from tiffin.api.codec import Wire
from tiffin.server.json import body
from tiffin.server.query import flag


class PreviewRequest(Wire, rename="pascal"):
    """Body of a dry run. `gone`: ids of containers to be taken for removed already."""

    gone: list[str] = field(default_factory=list)


async def wanted_preview(request: web.Request) -> frozenset[str] | None:
    """Return the containers to be taken for removed if this is a dry run, None if it is not."""
    if not flag(request, "dry-run"):
        return None
    return frozenset((await body(request, PreviewRequest)).gone)
