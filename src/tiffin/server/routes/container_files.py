"""Routes of a container's files: archive, export, changes."""

import asyncio
import base64
import io
from collections.abc import Callable, Sequence
from typing import Protocol

from aiohttp import web

from tiffin.api import codec
from tiffin.api.types.containers import ChangeItem, PathStat
from tiffin.engine.containers.archive import Archives
from tiffin.errors import InvalidArgument
from tiffin.layers.compression import Sink
from tiffin.server.json import json_response
from tiffin.server.query import flag
from tiffin.server.routing import Route
from tiffin.server.stream import RequestReader, ResponseWriter, mark_stream

_TAR = "application/x-tar"
_BUFFER = 1 << 18


class Containers(Protocol):
    """What the routes need of the engine."""

    async def archives(self, reference: str, action: str = "") -> Archives:
        """Return its files, for threads."""

    async def changes(self, reference: str) -> Sequence[ChangeItem]:
        """Return the paths that it changed."""


def routes(service: Containers) -> list[Route]:
    """Return the routes."""

    async def stat(request: web.Request) -> web.Response:
        archives = await service.archives(request.match_info["name"])
        found = await asyncio.to_thread(archives.stat, _path(request))
        return web.Response(headers={"X-Docker-Container-Path-Stat": _header(found)})

    async def get(request: web.Request) -> web.StreamResponse:
        path = _path(request)
        archives = await service.archives(request.match_info["name"], "archive-path")
        found = await asyncio.to_thread(archives.stat, path)
        headers = {"Content-Type": _TAR, "X-Docker-Container-Path-Stat": _header(found)}
        return await _send(request, headers, lambda sink: archives.pack(path, sink))

    async def put(request: web.Request) -> web.Response:
        path = _path(request)
        archives = await service.archives(request.match_info["name"], "extract-to-dir")
        source = io.BufferedReader(RequestReader(request), _BUFFER)
        await asyncio.to_thread(
            archives.unpack,
            path,
            source,
            keep_kind=flag(request, "noOverwriteDirNonDir"),
            own=flag(request, "copyUIDGID"),
        )
        return web.Response(status=200)

    async def export(request: web.Request) -> web.StreamResponse:
        archives = await service.archives(request.match_info["name"], "export")
        return await _send(request, {"Content-Type": "application/octet-stream"}, archives.export)

    async def changes(request: web.Request) -> web.Response:
        return json_response(list(await service.changes(request.match_info["name"])) or None)

    return [
        Route("HEAD", "/containers/{name:.+}/archive", stat),
        Route("GET", "/containers/{name:.+}/archive", get),
        Route("PUT", "/containers/{name:.+}/archive", put),
        Route("GET", "/containers/{name:.+}/export", export),
        Route("GET", "/containers/{name:.+}/changes", changes),
    ]


def _path(request: web.Request) -> str:
    path = request.query.get("path", "")
    if not path:
        raise InvalidArgument("missing path query parameter")
    return path


def _header(found: PathStat) -> str:
    return base64.b64encode(codec.encode(found)).decode()


async def _send(
    request: web.Request, headers: dict[str, str], write: Callable[[Sink], None]
) -> web.StreamResponse:
    """Send what `write` writes in a thread; an error after the headers cuts the connection."""
    mark_stream(request)
    response = web.StreamResponse(headers=headers)
    if request.version >= (1, 1):
        response.enable_chunked_encoding()
    await response.prepare(request)

    raw = ResponseWriter(response)

    def work() -> None:
        with io.BufferedWriter(raw, _BUFFER) as sink:
            write(sink)

    await asyncio.to_thread(work)
    await response.write_eof()
    return response
