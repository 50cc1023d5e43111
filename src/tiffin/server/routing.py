"""How a route module describes its routes.

A route module has one function `routes(service) -> list[Route]`; the application mounts each route
with and without the version prefix and answers 404 to versions that are older than `since`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `path` is aiohttp's pattern without version, e.g. `/containers/{name}/json`.

    Names that may hold slashes are written `{name:.+}`.
    """

    method: str
    path: str
    handler: Handler
    since: str = "1.24"
