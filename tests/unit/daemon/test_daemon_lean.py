"""What an idle daemon spares is still there for whoever asks. In a process of its own each."""

import subprocess
import sys

import pytest

START = """
import sys
from tiffin.daemon import main
from tiffin.daemon import config, flags, instance, logging, sockets
assert not {"asyncio", "aiohttp", "msgspec", "shutil"} & set(sys.modules), "imported too early"
from tiffin.daemon.heaps import give_back, share_heaps
from tiffin.daemon.lean import import_engine, import_server
share_heaps()
import_server()
"""

SPARED = (
    "_bz2", "_lzma", "_ssl", "aiohttp.client", "aiohttp.client_exceptions", "aiohttp.connector",
    "aiohttp.http_websocket", "aiohttp.multipart", "argparse", "asyncio.sslproto",
    "attr.validators", "email.headerregistry", "html.entities", "http.client", "idna",
    "isal.isal_zlib", "jsonschema", "msgspec.inspect", "pprint", "tiffin.build.cache_mounts",
    "tiffin.build.copier", "tiffin.build.dockerfile.parser", "tiffin.build.plan",
    "tiffin.build.solver", "tiffin.engine.build.run", "tiffin.engine.build.run_step",
    "tiffin.engine.containers.executions", "tiffin.engine.containers.stats",
    "tiffin.engine.containers.top", "tiffin.engine.images.archives", "tiffin.engine.images.push",
    "tiffin.engine.networks.connect", "tiffin.layers.apply", "tiffin.oci", "tiffin.distribution",
    "tiffin.registry.client", "tiffin.testing", "zipfile", "unittest", "urllib.request", "xml", "zstandard",
)  # fmt: skip
"""Modules that an idle daemon must not have loaded. Whoever needs one imports it where it is used."""


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", START + script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    script = """
import_engine()
give_back()
print(*(name for name, module in sys.modules.items() if type(module).__name__ != "_Deferred"))
"""
    return set(run(script).split())


def test_an_idle_daemon_spares_what_it_rarely_needs(loaded: set[str]) -> None:
    assert {"aiohttp.web", "tiffin.daemon.wiring"} <= loaded
    assert sorted(loaded.intersection(SPARED)) == []


def test_an_idle_daemon_loads_no_log_driver_for_far_away(loaded: set[str]) -> None:
    drivers = ("fluentd", "gelf", "journald", "syslog", "relay", "delivery")
    assert [name for name in drivers if f"tiffin.logs.{name}" in loaded] == []


def test_an_idle_daemon_inspects_nothing(loaded: set[str]) -> None:
    # From Python 3.13 on, dataclasses themselves need it.
    allowed = {"ast", "dis", "inspect"} if sys.version_info >= (3, 13) else set()
    assert loaded & {"ast", "dis", "inspect", "typing_extensions"} <= allowed


def test_the_client_is_there_when_it_is_wanted() -> None:
    script = """
from aiohttp import web
import aiohttp
assert aiohttp.web is web
assert "aiohttp.client" not in sys.modules
assert aiohttp.ClientSession.__module__ == "aiohttp.client"
assert aiohttp.web is web
assert aiohttp.ClientError is sys.modules["aiohttp.client_exceptions"].ClientError
assert issubclass(aiohttp.ClientConnectorSSLError, __import__("ssl").SSLError)
try:
    aiohttp.no_such_name
except AttributeError:
    print("fine")
"""
    assert run(script) == "fine\n"


def test_the_registry_client_works_after_that() -> None:
    script = """
import asyncio
from yarl import URL
from tiffin.registry.errors import Unreachable
from tiffin.registry.transport import Retry, Transport
from tiffin.registry.endpoints import Endpoint
async def main():
    for url in ("http://127.0.0.1:9", "https://127.0.0.1:9"):
        once = Retry(attempts=1)
        async with Transport(Endpoint(url), user_agent="x", retry=once) as transport:
            try:
                async with transport.send("GET", URL(url)):
                    pass
            except Unreachable as error:
                print(error)
asyncio.run(main())
"""
    lines = run(script).splitlines()
    assert len(lines) == 2
    assert all(line.endswith("dial tcp 127.0.0.1:9: connect: connection refused") for line in lines)


def test_tls_of_asyncio_works_after_that() -> None:
    script = """
import asyncio, ssl
async def main():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        await asyncio.open_connection(host, port, ssl=ssl.create_default_context())
    except OSError as error:
        print(type(error).__name__)
asyncio.run(main())
"""
    assert run(script).startswith(("SSL", "Connection"))


def test_what_was_stood_in_for_is_the_real_thing_when_used() -> None:
    script = """
from aiohttp import helpers, web_protocol
assert helpers.parse_content_type("text/plain; charset=utf-8")[1]["charset"] == "utf-8"
assert web_protocol.html_escape("<") == "&lt;"
from aiohttp.base_protocol import ClientConnectionResetError
error = ClientConnectionResetError("x")
assert isinstance(error, ConnectionResetError)
import html, argparse
assert type(html).__name__ == type(argparse).__name__ == "module"
from yarl import URL
assert URL("http://b\\u00fccher.example").raw_host == "xn--bcher-kva.example"
print("fine")
"""
    assert run(script) == "fine\n"


def test_every_stand_in_is_something_and_none_is_caught() -> None:
    """What a stand-in cannot be, an exception to catch or a class to match, is in nobody's source."""
    script = """
import ast, inspect
from tiffin.daemon.late import _LateName
import_engine()
names = [
    (module, key, value)
    for module in list(sys.modules.values())
    for key, value in list(vars(module).items())
    if type(value) is _LateName
]
assert len(names) > 30
for module, key, value in names:
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        kind = getattr(node, "type", None) if isinstance(node, ast.ExceptHandler) else None
        kind = node.cls if isinstance(node, ast.MatchClass) else kind
        used = [item.id for item in ast.walk(kind) if isinstance(item, ast.Name)] if kind else []
        assert key not in used, f"{module.__name__}:{node.lineno} catches {key}"
for module, key, value in names:
    real = value._late_real()
    assert type(real) is not _LateName
    assert vars(module)[key] is real, f"{module.__name__}.{key} is still a stand-in"
print("fine")
"""
    assert run(script) == "fine\n"
