"""Routes of the trash: an extension, which Docker's clients never call."""

from collections.abc import Collection
from typing import Protocol

from aiohttp import web

from tiffin.api.types.trash import EmptyReport, RestoreReport, TrashListing
from tiffin.server.json import json_response
from tiffin.server.query import integer
from tiffin.server.routing import Route


class Trash(Protocol):
    """What the routes need of the engine."""

    async def listing(self) -> TrashListing:
        """Return everything."""

    async def restore(
        self, number: int | None = None, *, kinds: Collection[str] = (), names: Collection[str] = ()
    ) -> RestoreReport:
        """Bring things back."""

    async def empty(self, number: int | None = None) -> int:
        """Destroy things."""


def routes(trash: Trash) -> list[Route]:
    """Return the routes."""

    async def listing(request: web.Request) -> web.Response:
        del request
        return json_response(await trash.listing())

    async def restore(request: web.Request) -> web.Response:
        query = request.query
        report = await trash.restore(
            integer(request, "operation"),
            kinds=query.getall("kind", []),
            names=query.getall("name", []),
        )
        return json_response(report)

    async def empty(request: web.Request) -> web.Response:
        freed = await trash.empty(integer(request, "operation"))
        return json_response(EmptyReport(space_reclaimed=freed))

    return [
        Route("GET", "/trash", listing),
        Route("POST", "/trash/restore", restore),
        Route("DELETE", "/trash", empty),
    ]
