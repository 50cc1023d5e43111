"""Routes of execs."""

import asyncio
import fcntl
import os
import termios
import time
from typing import Protocol

from aiohttp import web

from tiffin.api.types.exec import (
    ExecCreateRequest,
    ExecCreateResponse,
    ExecInspect,
    ExecStartRequest,
)
from tiffin.engine.containers.detach_keys import DEFAULT
from tiffin.engine.containers.execution import Execution
from tiffin.engine.containers.resize import parse_size
from tiffin.engine.tasks.contract import Attachment
from tiffin.errors import InvalidArgument, TiffinError
from tiffin.server.hijack import MULTIPLEXED_STREAM, RAW_STREAM, hijack
from tiffin.server.json import body, json_response
from tiffin.server.routing import Route
from tiffin.server.version import request_version
from tiffin.wire import stdcopy

_STDOUT = 1
_LOSES_EARLY_OUTPUT = ("docker-sdk-python", "docker-py", "docker-compose")
"""Clients that take the head through a buffer, and forget what output is in there with it."""
_PATIENCE_S = 0.1


class Execs(Protocol):
    """What the routes need of the engine."""

    async def exec_create(self, reference: str, request: ExecCreateRequest) -> str:
        """Note what shall be executed."""

    def exec_claim(self, identifier: str) -> Execution:
        """Return an exec that is about to be started."""

    async def exec_start(
        self,
        execution: Execution,
        attachment: Attachment | None = None,
        size: tuple[int, int] = (0, 0),
    ) -> None:
        """Execute it."""

    async def exec_inspect(self, identifier: str) -> ExecInspect:
        """Describe one."""

    async def exec_resize(self, identifier: str, rows: int, columns: int) -> None:
        """Set its terminal's size."""


def routes(service: Execs) -> list[Route]:
    """Return the routes."""

    async def create(request: web.Request) -> web.Response:
        wanted = await body(request, ExecCreateRequest)
        if request_version(request) < (1, 42):
            wanted.console_size = None
        identifier = await service.exec_create(request.match_info["name"], wanted)
        return json_response(ExecCreateResponse(id=identifier), status=201)

    async def start(request: web.Request) -> web.StreamResponse:
        wanted = await body(request, ExecStartRequest)
        if request_version(request) < (1, 42):
            wanted.console_size = None
        execution = service.exec_claim(request.match_info["id"])
        size = _size(request, wanted, execution)
        if wanted.detach:
            await service.exec_start(execution, None, size)
            return web.Response(status=200)
        return await _start_attached(request, service, execution, size, framed=not wanted.tty)

    async def inspect(request: web.Request) -> web.Response:
        return json_response(await service.exec_inspect(request.match_info["id"]))

    async def resize(request: web.Request) -> web.Response:
        size = parse_size(request.query.get("h", ""), request.query.get("w", ""))
        await service.exec_resize(request.match_info["id"], *size)
        return web.Response(status=200)

    return [
        Route("POST", "/containers/{name:.+}/exec", create),
        Route("POST", "/exec/{id}/start", start),
        Route("GET", "/exec/{id}/json", inspect),
        Route("POST", "/exec/{id}/resize", resize),
    ]


def _size(request: web.Request, wanted: ExecStartRequest, execution: Execution) -> tuple[int, int]:
    """Return height and width, zeros where there is no terminal; InvalidArgument."""
    if request_version(request) < (1, 42) or not execution.request.tty:
        return 0, 0
    at_start = wanted.console_size if wanted.tty else None
    size = at_start or execution.request.console_size or [0, 0]
    if len(size) != 2 or not all(0 <= side <= 65535 for side in size):
        raise InvalidArgument(f"invalid console size: {size}")
    return size[0], size[1]


async def _start_attached(
    request: web.Request,
    service: Execs,
    execution: Execution,
    size: tuple[int, int],
    *,
    framed: bool,
) -> web.StreamResponse:
    """Hand the connection to the shim; what goes wrong from here on is told as output.

    Whether the client expects frames is what it said at this start, terminal or not.
    """
    wanted = execution.request
    multiplexed = framed and request_version(request) >= (1, 42)
    connection = await hijack(
        request, content_type=MULTIPLEXED_STREAM if multiplexed else RAW_STREAM
    )
    try:
        attachment = Attachment(
            fd=connection.fd,
            stdin=wanted.attach_stdin,
            stdout=wanted.attach_stdout,
            stderr=wanted.attach_stderr,
            framed=framed,
            detach_keys=(execution.detach_keys or DEFAULT) if wanted.tty else b"",
            prefix=connection.prefix,
        )
        if request.headers.get("User-Agent", "").startswith(_LOSES_EARLY_OUTPUT):
            await _until_read(connection.fd)
        await service.exec_start(execution, attachment, size)
    except TiffinError as error:
        text = f"{error}\r\n".encode()
        data = stdcopy.frame(_STDOUT, text) if framed else text
        await asyncio.to_thread(_write, connection.fd, data)
    finally:
        connection.close()
    return connection.response


async def _until_read(fd: int) -> None:
    """Wait until a local client has read the head of the response (unix(7), SIOCOUTQ)."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        try:
            unread = fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0" * 4)
        except OSError:
            return
        if not any(unread):
            return
        await asyncio.sleep(0.001)


def _write(fd: int, data: bytes) -> None:
    """Write a short text; the client may be gone, and that is fine."""
    os.set_blocking(fd, True)  # os's own signature
    try:
        os.write(fd, data)
    except OSError:
        return
