"""Routes of containers: list, create, inspect and the verbs of their life."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from aiohttp import web

from tiffin.api.filters import Filters
from tiffin.api.types.containers import (
    ContainerInspect,
    CreateRequest,
    CreateResponse,
    PruneResponse,
    TopResponse,
)
from tiffin.api.types.resources import UpdateRequest, UpdateResponse
from tiffin.api.types.summary import ContainerSummary
from tiffin.engine.containers.context import Explain, silent
from tiffin.engine.containers.listing import ListOptions, encode
from tiffin.engine.containers.resize import parse_size
from tiffin.errors import Unimplemented
from tiffin.server.create_versions import adapt
from tiffin.server.json import body, json_response
from tiffin.server.preview import wanted_preview
from tiffin.server.query import filters, flag, integer
from tiffin.server.routes import container_files, container_streams
from tiffin.server.routing import Route
from tiffin.server.stream import JsonLines
from tiffin.server.version import request_version


class Containers(container_files.Containers, container_streams.Containers, Protocol):
    """What the routes need of the engine."""

    async def list(self, options: ListOptions) -> Sequence[ContainerSummary]:
        """Return summaries."""

    async def inspect(self, reference: str, *, size: bool = False) -> ContainerInspect:
        """Describe one."""

    async def top(self, reference: str, arguments: str) -> TopResponse:
        """List its processes."""

    async def create(
        self, request: CreateRequest, name: str = "", platform: str = ""
    ) -> CreateResponse:
        """Make one."""

    async def start(self, reference: str, explain: Explain = silent) -> None:
        """Run its program."""

    async def stop(self, reference: str, signal: str = "", timeout_s: int | None = None) -> None:
        """End its program."""

    async def restart(self, reference: str, signal: str = "", timeout_s: int | None = None) -> None:
        """Stop and start."""

    async def kill(self, reference: str, signal: str = "") -> None:
        """Send a signal."""

    async def pause(self, reference: str) -> None:
        """Freeze."""

    async def unpause(self, reference: str) -> None:
        """Thaw."""

    async def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it."""

    async def unlink(self, name: str) -> None:
        """Forget the link `parent/alias`."""

    async def rename(self, reference: str, new_name: str) -> None:
        """Give it another name."""

    async def resize(self, reference: str, rows: int, columns: int) -> None:
        """Set its terminal's size."""

    async def update(self, reference: str, request: UpdateRequest) -> UpdateResponse:
        """Change limits and restart policy."""

    async def preview_prune(self, filters: Filters) -> PruneResponse:
        """Tell which would be removed."""

    async def prune(self, filters: Filters) -> PruneResponse:
        """Remove all that do not run."""


def routes(service: Containers) -> list[Route]:
    """Return all routes of containers."""
    return [
        *_looking(service),
        *_changing(service),
        *_life(service),
        *container_streams.routes(service),
        *container_files.routes(service),
    ]


def _name(request: web.Request) -> str:
    return request.match_info["name"]


def _looking(service: Containers) -> list[Route]:
    async def listing(request: web.Request) -> web.Response:
        options = ListOptions(
            every=flag(request, "all"),
            limit=max(0, integer(request, "limit", 0)),
            size=flag(request, "size"),
            filters=filters(request),
        )
        summaries = await service.list(options)
        if request_version(request) < (1, 46):
            summaries = [_without_annotations(summary) for summary in summaries]
        return web.Response(body=encode(list(summaries)), content_type="application/json")

    async def inspect(request: web.Request) -> web.Response:
        shown = await service.inspect(_name(request), size=flag(request, "size"))
        if request_version(request) < (1, 45):
            _add_aliases(shown)
        return json_response(shown)

    async def top(request: web.Request) -> web.Response:
        return json_response(await service.top(_name(request), request.query.get("ps_args", "-ef")))

    return [
        Route("GET", "/containers/json", listing),
        Route("GET", "/containers/{name:.+}/json", inspect),
        Route("GET", "/containers/{name:.+}/top", top),
    ]


def _life(service: Containers) -> list[Route]:
    async def create(request: web.Request) -> web.Response:
        wanted = await body(request, CreateRequest)
        version = request_version(request)
        warnings = adapt(wanted, version)
        platform = request.query.get("platform", "") if version >= (1, 41) else ""
        response = await service.create(wanted, request.query.get("name", ""), platform)
        response.warnings += warnings
        return json_response(response, status=201)

    async def start(request: web.Request) -> web.StreamResponse:
        if request.query.get("checkpoint"):
            raise Unimplemented("starting from a checkpoint is not supported")
        if flag(request, "explain"):
            return await _start_explained(request, service)
        await service.start(_name(request))
        return web.Response(status=204)

    async def stop(request: web.Request) -> web.Response:
        await service.stop(_name(request), request.query.get("signal", ""), integer(request, "t"))
        return web.Response(status=204)

    async def restart(request: web.Request) -> web.Response:
        await service.restart(
            _name(request), request.query.get("signal", ""), integer(request, "t")
        )
        return web.Response(status=204)

    async def kill(request: web.Request) -> web.Response:
        await service.kill(_name(request), request.query.get("signal", ""))
        return web.Response(status=204)

    async def pause(request: web.Request) -> web.Response:
        await service.pause(_name(request))
        return web.Response(status=204)

    async def unpause(request: web.Request) -> web.Response:
        await service.unpause(_name(request))
        return web.Response(status=204)

    async def remove(request: web.Request) -> web.Response:
        if flag(request, "link"):
            await service.unlink(_name(request))
            return web.Response(status=204)
        await service.remove(
            _name(request), force=flag(request, "force"), volumes=flag(request, "v")
        )
        return web.Response(status=204)

    return [
        Route("POST", "/containers/create", create),
        Route("POST", "/containers/{name:.+}/start", start),
        Route("POST", "/containers/{name:.+}/stop", stop),
        Route("POST", "/containers/{name:.+}/restart", restart),
        Route("POST", "/containers/{name:.+}/kill", kill),
        Route("POST", "/containers/{name:.+}/pause", pause),
        Route("POST", "/containers/{name:.+}/unpause", unpause),
        Route("DELETE", "/containers/{name:.+}", remove),
    ]


async def _start_explained(request: web.Request, service: Containers) -> web.StreamResponse:
    """Answer with a line for each step as it is done, the last one saying how it went."""
    async with JsonLines(request) as out:
        explanation = container_streams.Steps(out)
        async with explanation:
            await service.start(_name(request), explanation.add)
    return out.response


def _changing(service: Containers) -> list[Route]:
    async def rename(request: web.Request) -> web.Response:
        await service.rename(_name(request), request.query.get("name", ""))
        return web.Response(status=204)

    async def resize(request: web.Request) -> web.Response:
        size = parse_size(request.query.get("h", ""), request.query.get("w", ""))
        await service.resize(_name(request), *size)
        return web.Response(status=200)

    async def update(request: web.Request) -> web.Response:
        wanted = await body(request, UpdateRequest)
        if request_version(request) < (1, 40):
            wanted.pids_limit = None
        if wanted.pids_limit is not None:
            wanted.pids_limit = max(0, wanted.pids_limit)  # nothing below stands for more
        return json_response(await service.update(_name(request), wanted))

    async def prune(request: web.Request) -> web.Response:
        if await wanted_preview(request) is not None:
            return json_response(await service.preview_prune(filters(request)))
        return json_response(await service.prune(filters(request)))

    async def checkpoints(request: web.Request) -> web.Response:
        del request
        raise Unimplemented("checkpoints are not supported")

    return [
        Route("POST", "/containers/{name:.+}/rename", rename),
        Route("POST", "/containers/{name:.+}/resize", resize),
        Route("POST", "/containers/{name:.+}/update", update),
        Route("POST", "/containers/prune", prune, since="1.25"),
        Route("GET", "/containers/{name:.+}/checkpoints", checkpoints, since="1.25"),
        Route("POST", "/containers/{name:.+}/checkpoints", checkpoints, since="1.25"),
        Route(
            "DELETE", "/containers/{name:.+}/checkpoints/{checkpoint}", checkpoints, since="1.25"
        ),
    ]


def _without_annotations(summary: ContainerSummary) -> ContainerSummary:
    host = msgspec.structs.replace(summary.host_config, annotations=msgspec.UNSET)
    return msgspec.structs.replace(summary, host_config=host)


def _add_aliases(shown: ContainerInspect) -> None:
    """Show among the aliases what old clients look for there."""
    for name, endpoint in shown.network_settings.networks.items():
        if name not in ("default", "bridge", "host", "none"):
            more = (*(endpoint.aliases or ()), shown.id[:12], shown.config.hostname)
            endpoint.aliases = list(dict.fromkeys(more))
