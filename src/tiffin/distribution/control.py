"""A socket in the registry's root by which its owner speaks with the running server.

`POST /gc` with `{"grace_s": …, "uploads_s": …, "untagged": …, "dry_run": …}` answers with the counts.
The socket is reached by way of the directory's descriptor: its path may be longer than a socket's
address allows.
"""

import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tiffin.distribution.garbage import Collected, Retention
from tiffin.errors import FailedPrecondition

_NAME = "control.sock"
Collect = Callable[[Retention, bool], Awaitable[Collected]]


class Controller:
    """The server's end."""

    def __init__(self, collect: Collect, keep: Retention) -> None:
        self._collect = collect
        self._keep = keep

    @asynccontextmanager
    async def listening(self, root: Path) -> AsyncIterator[None]:
        """Answer meanwhile."""
        (root / _NAME).unlink(missing_ok=True)
        directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            mask = os.umask(0o177)
            try:
                listener.bind(_path(directory))
            finally:
                os.umask(mask)
            app = web.Application()
            app.router.add_post("/gc", self._gc)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            try:
                await web.SockSite(runner, listener).start()
                yield
            finally:
                await runner.cleanup()
                (root / _NAME).unlink(missing_ok=True)
        finally:
            listener.close()
            os.close(directory)

    async def _gc(self, request: web.Request) -> web.Response:
        asked = await request.json()
        keep = Retention(
            float(asked.get("grace_s", self._keep.grace_s)),
            float(asked.get("uploads_s", self._keep.uploads_s)),
            bool(asked.get("untagged", self._keep.untagged)),
        )
        found = await self._collect(keep, bool(asked.get("dry_run", False)))
        return web.json_response(asdict(found))


async def ask(root: Path, keep: Retention, *, dry_run: bool) -> dict[str, Any] | None:
    """Let the server that uses `root` collect; None if there is none, FailedPrecondition."""
    if not (root / _NAME).exists():
        return None
    directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connector = aiohttp.UnixConnector(_path(directory))
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            body = asdict(keep) | {"dry_run": dry_run}
            async with session.post("http://registry/gc", json=body) as response:
                if response.status != 200:
                    raise FailedPrecondition(f"the server answered {response.status}")
                answer: dict[str, Any] = await response.json()
                return answer
    except aiohttp.ClientConnectorError:
        return None  # left over by a server that was killed
    finally:
        os.close(directory)


def _path(directory: int) -> str:
    return f"/proc/self/fd/{directory}/{_NAME}"
