"""Routes that ask a registry about an image or about credentials."""

from typing import Protocol

from aiohttp import web

from tiffin.api.types.images import AuthRequest, AuthResponse, DistributionInspect
from tiffin.registry.credentials import ANONYMOUS, Credentials, decode_auth
from tiffin.server.json import body, json_response
from tiffin.server.routing import Route


class Images(Protocol):
    """What the routes need of the engine."""

    async def distribution(
        self, ref: str, credentials: Credentials = ANONYMOUS
    ) -> DistributionInspect:
        """Ask a registry what it has."""

    async def login(self, request: AuthRequest) -> AuthResponse:
        """Check credentials."""


def routes(images: Images) -> list[Route]:
    """Return the routes."""

    async def inspect(request: web.Request) -> web.Response:
        credentials = decode_auth(request.headers.get("X-Registry-Auth", ""))
        return json_response(await images.distribution(request.match_info["name"], credentials))

    async def login(request: web.Request) -> web.Response:
        return json_response(await images.login(await body(request, AuthRequest)))

    return [
        Route("GET", "/distribution/{name:.+}/json", inspect, since="1.30"),
        Route("POST", "/auth", login),
    ]
