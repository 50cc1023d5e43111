"""Routes of volumes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from aiohttp import web

from tiffin.api.filters import Filters
from tiffin.api.types.volumes import Volume, VolumeCreateOptions, VolumeList, VolumePruneReport
from tiffin.errors import Unavailable
from tiffin.server.json import body, json_response
from tiffin.server.preview import wanted_preview
from tiffin.server.query import filters, flag
from tiffin.server.routing import Route
from tiffin.server.version import request_version

_NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect'
    " this node to swarm and try again."
)


class Volumes(Protocol):
    """What the routes need of the engine."""

    async def create(
        self,
        name: str,
        driver: str,
        options: Mapping[str, str] | None,
        labels: Mapping[str, str] | None,
    ) -> Volume:
        """Create a volume, or return the one of that name."""

    async def list(self, filters: Filters) -> Sequence[Volume]:
        """Return the volumes that pass."""

    async def inspect(self, name: str) -> Volume:
        """Describe a volume."""

    async def remove(self, name: str, *, force: bool, undoable: bool) -> None:
        """Remove a volume."""

    async def prune(self, filters: Filters, *, named: bool) -> VolumePruneReport:
        """Remove unused volumes."""

    async def preview_prune(
        self, filters: Filters, *, named: bool, gone: Collection[str]
    ) -> VolumePruneReport:
        """Tell which would be removed."""


def routes(volumes: Volumes) -> list[Route]:
    """Return the routes."""

    async def listing(request: web.Request) -> web.Response:
        found = await volumes.list(filters(request))
        return json_response(VolumeList(volumes=list(found)))

    async def create(request: web.Request) -> web.Response:
        wanted = await body(request, VolumeCreateOptions)
        if wanted.cluster_volume_spec is not None:
            raise Unavailable(_NO_SWARM)
        volume = await volumes.create(wanted.name, wanted.driver, wanted.driver_opts, wanted.labels)
        return json_response(volume, status=201)

    async def prune(request: web.Request) -> web.Response:
        # Before 1.42 named volumes were pruned, too.
        named = request_version(request) < (1, 42)
        wanted, gone = filters(request), await wanted_preview(request)
        if gone is not None:
            report = await volumes.preview_prune(wanted, named=named, gone=gone)
        else:
            report = await volumes.prune(wanted, named=named)
        return json_response(report)

    async def inspect(request: web.Request) -> web.Response:
        return json_response(await volumes.inspect(request.match_info["name"]))

    async def update(request: web.Request) -> web.Response:
        del request
        raise Unavailable("volume update only valid for cluster volumes, but swarm is unavailable")

    async def remove(request: web.Request) -> web.Response:
        await volumes.remove(
            request.match_info["name"], force=flag(request, "force"), undoable=True
        )
        return web.Response(status=204)

    return [
        Route("GET", "/volumes", listing),
        Route("POST", "/volumes/create", create),
        Route("POST", "/volumes/prune", prune, since="1.25"),
        Route("GET", "/volumes/{name:.+}", inspect),
        Route("PUT", "/volumes/{name:.+}", update, since="1.42"),
        Route("DELETE", "/volumes/{name:.+}", remove),
    ]
