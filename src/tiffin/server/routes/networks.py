"""Routes of networks."""

from collections.abc import Sequence
from typing import Protocol

from aiohttp import web

from tiffin.api.filters import Filters
from tiffin.api.types.networks import (
    EndpointSettings,
    Network,
    NetworkConnectRequest,
    NetworkCreateRequest,
    NetworkCreateResponse,
    NetworkDisconnectRequest,
    NetworkPruneReport,
)
from tiffin.engine.networks.contract import ConnectTarget, ContainerLookup
from tiffin.errors import InvalidArgument, NotFound
from tiffin.server import query
from tiffin.server.json import body, json_response
from tiffin.server.preview import wanted_preview
from tiffin.server.routes.events import moment_ns
from tiffin.server.routing import Route
from tiffin.server.version import request_version


class HasId(Protocol):
    """What a network is created as."""

    @property
    def id(self) -> str:
        """Full identifier."""


class NetworkService(Protocol):
    """What the routes need of the engine."""

    async def list(self, filters: Filters) -> list[Network]:
        """Return the networks that pass."""

    async def inspect(self, reference: str) -> Network:
        """Return one network."""

    async def create(self, request: NetworkCreateRequest) -> HasId:
        """Make a network."""

    async def remove(self, reference: str) -> None:
        """Remove a network."""

    async def connect(
        self, reference: str, target: ConnectTarget, settings: EndpointSettings | None
    ) -> None:
        """Connect a container."""

    async def disconnect(self, reference: str, target: ConnectTarget) -> None:
        """Disconnect a container."""

    async def disconnect_gone(self, reference: str, container: str) -> None:
        """Free what a vanished container has."""

    async def preview_prune(self, filters: Filters, until_ns: int | None = None) -> Sequence[str]:
        """Tell which would be removed."""

    async def prune(self, filters: Filters, until_ns: int | None = None) -> Sequence[str]:
        """Remove what nobody uses."""


def routes(service: NetworkService, containers: ContainerLookup) -> list[Route]:
    """Return the routes."""
    handle = _Handlers(service, containers)
    return [
        Route("GET", "/networks", handle.list),
        Route("GET", "/networks/", handle.list),
        Route("POST", "/networks/create", handle.create),
        Route("POST", "/networks/prune", handle.prune, since="1.25"),
        Route("GET", "/networks/{id:.+}", handle.inspect),
        Route("DELETE", "/networks/{id:.+}", handle.remove),
        Route("POST", "/networks/{id:.+}/connect", handle.connect),
        Route("POST", "/networks/{id:.+}/disconnect", handle.disconnect),
    ]


class _Handlers:
    def __init__(self, service: NetworkService, containers: ContainerLookup) -> None:
        self._service = service
        self._containers = containers

    async def list(self, request: web.Request) -> web.Response:
        networks = await self._service.list(query.filters(request))
        if request_version(request) < (1, 28):
            networks = [await self._service.inspect(network.id) for network in networks]
        return json_response(networks)

    async def inspect(self, request: web.Request) -> web.Response:
        scope = request.query.get("scope", "")
        network = await self._service.inspect(request.match_info["id"])
        if scope not in ("", network.scope):
            raise NotFound(f"network {request.match_info['id']} not found")
        return json_response(network)

    async def create(self, request: web.Request) -> web.Response:
        wanted = await body(request, NetworkCreateRequest)
        if request_version(request) < (1, 48):
            wanted.enable_ipv4 = None
        network = await self._service.create(wanted)
        return json_response(NetworkCreateResponse(id=network.id), status=201)

    async def remove(self, request: web.Request) -> web.Response:
        await self._service.remove(request.match_info["id"])
        return web.Response(status=204)

    async def connect(self, request: web.Request) -> web.Response:
        wanted = await body(request, NetworkConnectRequest)
        target = await self._containers.connect_target(_named(wanted.container))
        settings = wanted.endpoint_config
        if settings is not None and request_version(request) < (1, 44):
            settings.mac_address = ""
        await self._service.connect(request.match_info["id"], target, settings)
        return web.Response(status=200)

    async def disconnect(self, request: web.Request) -> web.Response:
        wanted = await body(request, NetworkDisconnectRequest)
        reference = request.match_info["id"]
        try:
            target = await self._containers.connect_target(_named(wanted.container))
        except NotFound:
            if not wanted.force:
                raise
            await self._service.disconnect_gone(reference, wanted.container)
        else:
            await self._service.disconnect(reference, target)
        return web.Response(status=200)

    async def prune(self, request: web.Request) -> web.Response:
        wanted = query.filters(request)
        until = wanted.get("until")
        if len(until) > 1:
            raise InvalidArgument("more than one until filter specified")
        until_ns = moment_ns(until[0]) if until else None
        if await wanted_preview(request) is not None:
            names = await self._service.preview_prune(wanted, until_ns)
        else:
            names = await self._service.prune(wanted, until_ns)
        return json_response(NetworkPruneReport(networks_deleted=list(names) or None))


def _named(container: str) -> str:
    if not container:
        raise InvalidArgument("invalid container name or ID: value is empty")
    return container
