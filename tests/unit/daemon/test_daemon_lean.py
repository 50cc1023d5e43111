"""What an idle daemon spares is still there for whoever asks. In a process of its own each."""

import subprocess
import sys

START = """
import sys
from tiffin.daemon.lean import defer_aiohttp_client, give_back, share_heaps, spare_mime_types
defer_aiohttp_client()
spare_mime_types()
share_heaps()
"""


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_idle_daemon_loads_neither_client_nor_builder() -> None:
    loaded = run("import tiffin.daemon.service; give_back(); print(*sys.modules)").split()
    assert "aiohttp.web" in loaded
    for spared in ("aiohttp.client", "aiohttp.connector", "tiffin.build.plan", "jsonschema"):
        assert spared not in loaded


def test_the_client_is_there_when_it_is_wanted() -> None:
    script = """
from aiohttp import web
import aiohttp
assert aiohttp.web is web
assert "aiohttp.client" not in sys.modules
assert aiohttp.ClientSession.__module__ == "aiohttp.client"
assert aiohttp.web is web
assert aiohttp.ClientError is sys.modules["aiohttp.client_exceptions"].ClientError
try:
    aiohttp.no_such_name
except AttributeError:
    print("fine")
"""
    assert run(script) == "fine\n"


def test_the_registry_client_works_after_that() -> None:
    script = """
import asyncio
from aiohttp import web
from tiffin.registry.transport import Transport, _FAILURES
from tiffin.registry.endpoints import Endpoint
import aiohttp
async def main():
    async with Transport(Endpoint("http://127.0.0.1:9"), user_agent="x"):
        return "open"
print(asyncio.run(main()), issubclass(aiohttp.ClientConnectorError, _FAILURES[0]))
"""
    assert run(script) == "open True\n"
