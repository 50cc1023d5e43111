"""A real server on a real socket for the tests of the server's core."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tiffin.server.app import application, runner
from tiffin.server.routing import Route


@dataclass
class Served:
    """A served application: a client for it, and its socket."""

    client: aiohttp.ClientSession
    socket: str

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.socket)


Serve = Callable[[Iterable[Route]], Awaitable[Served]]


@asynccontextmanager
async def served(routes: Iterable[Route], path: str) -> AsyncIterator[Served]:
    engine = runner(application(routes))
    await engine.setup()
    assert engine.server is not None
    server = await asyncio.get_running_loop().create_unix_server(engine.server, path)
    connector = aiohttp.UnixConnector(path)
    try:
        async with aiohttp.ClientSession("http://docker", connector=connector) as client:
            yield Served(client, path)
    finally:
        server.close()
        await engine.cleanup()


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def start(routes: Iterable[Route]) -> Served:
            return await stack.enter_async_context(served(routes, str(tmp_path / "s")))

        yield start
