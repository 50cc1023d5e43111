"""Routes of the daemon itself, and of what it does not offer."""

from collections.abc import Collection
from typing import Protocol

from aiohttp import web

from tiffin.api import codec
from tiffin.api.types.system import DiskUsage, SystemInfo, SystemVersion
from tiffin.errors import NotFound, Unavailable, Unimplemented
from tiffin.server.json import json_response
from tiffin.server.query import flag
from tiffin.server.routing import Handler, Route
from tiffin.server.version import request_version

_PING_HEADERS = {
    "Builder-Version": "1",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Swarm": "inactive",
}
_NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect'
    " this node to swarm and try again."
)


class System(Protocol):
    """What the routes need of the engine."""

    def version(self) -> SystemVersion:
        """Describe what runs here."""

    async def info(self) -> SystemInfo:
        """Describe the daemon."""

    async def disk_usage(
        self, types: Collection[str] = (), *, whole_disk: bool = False
    ) -> DiskUsage:
        """Measure what takes room."""


def routes(system: System) -> list[Route]:
    """Return the routes."""

    async def ping(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(content_type="text/plain", charset="utf-8", headers=_PING_HEADERS)
        return web.Response(text="OK", headers=_PING_HEADERS)

    async def version(request: web.Request) -> web.Response:
        del request
        return json_response(system.version())

    async def info(request: web.Request) -> web.Response:
        told = codec.to_builtins(await system.info())
        if request_version(request) < (1, 50):
            # Older clients warn where these are missing; our own rules do not depend on them.
            told |= {"BridgeNfIptables": True, "BridgeNfIp6tables": True}
            told.pop("DiscoveredDevices", None)
        return json_response(told)

    async def disk_usage(request: web.Request) -> web.Response:
        types = request.query.getall("type", [])
        return json_response(await system.disk_usage(types, whole_disk=flag(request, "disk")))

    async def no_plugins(request: web.Request) -> web.Response:
        del request
        return json_response([])

    return [
        Route("GET", "/_ping", ping),
        Route("HEAD", "/_ping", ping),
        Route("GET", "/version", version),
        Route("GET", "/info", info),
        Route("GET", "/system/df", disk_usage),
        # No plugin can be installed, so that this list is the true one.
        Route("GET", "/plugins", no_plugins),
        *_without_swarm(),
        *_not_offered(),
    ]


def _without_swarm() -> list[Route]:
    refused = _raising(Unavailable(_NO_SWARM))
    lists = [Route("GET", f"/{noun}", refused) for noun in ("swarm", "swarm/unlockkey")]
    lists += [Route("POST", f"/swarm/{verb}", refused) for verb in ("leave", "unlock", "update")]
    for noun in ("nodes", "services", "tasks", "secrets", "configs"):
        lists.append(Route("GET", f"/{noun}", refused))
        lists.append(Route("GET", f"/{noun}/{{id}}", refused))
        if noun == "tasks":
            continue
        lists.append(Route("DELETE", f"/{noun}/{{id}}", refused))
        lists.append(Route("POST", f"/{noun}/{{id}}/update", refused))
        if noun != "nodes":
            lists.append(Route("POST", f"/{noun}/create", refused))
    lists += [Route("GET", f"/{noun}/{{id}}/logs", refused) for noun in ("services", "tasks")]
    return lists


def _not_offered() -> list[Route]:
    swarm = _raising(Unimplemented("swarm mode is not offered by this engine"))
    plugins = _raising(Unimplemented("plugins are not offered by this engine"))
    session = _raising(Unimplemented("BuildKit sessions are not offered by this engine yet"))
    return [
        Route("POST", "/swarm/init", swarm),
        Route("POST", "/swarm/join", swarm),
        Route("GET", "/plugins/privileges", plugins),
        Route("POST", "/plugins/pull", plugins),
        Route("POST", "/plugins/create", plugins),
        # None can be installed, so that whatever is asked about does not exist.
        Route("GET", "/plugins/{name:.+}/json", _no_plugin),
        Route("DELETE", "/plugins/{name:.+}", _no_plugin),
        *(
            Route("POST", f"/plugins/{{name:.+}}/{verb}", _no_plugin)
            for verb in ("enable", "disable", "set", "push", "upgrade")
        ),
        Route("POST", "/session", session),
        Route("POST", "/grpc", session),
    ]


async def _no_plugin(request: web.Request) -> web.StreamResponse:
    raise NotFound(f'plugin "{request.match_info["name"]}" not found')


def _raising(error: Unavailable | Unimplemented) -> Handler:
    async def refuse(request: web.Request) -> web.StreamResponse:
        del request
        raise type(error)(error.message)

    return refuse
