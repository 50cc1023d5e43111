"""Keeps the idle daemon small: what a server never uses is not loaded until somebody asks for it."""

import importlib
import importlib.util
import mimetypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TypeVarTuple

from tiffin.daemon.late import absent_modules, late_modules

_ASYNCIO_SPARES = ("ssl:SSLSocket", "asyncio.sslproto", "bz2", "lzma")
_MSGSPEC_SPARES = ("msgspec._json_schema", "msgspec.inspect")
_AIOHTTP_SPARES = (
    "aiohttp.client_exceptions",
    "aiohttp.http_websocket",
    "aiohttp.multipart",
    "aiohttp.web_fileresponse",
    "aiohttp.web_ws",
    "argparse",
    "attr.converters",
    "attr.filters",
    "attr.validators",
    "email.parser",
    "email.policy",
    "html",
    "idna",
    "netrc",
    "urllib.request",
)
"""Forms, files, web sockets, mail headers, proxies, a command line: nothing our routes touch."""


_ENGINE_SPARES = (
    *(
        f"tiffin.engine.containers.{name}"
        for name in (
            "archive", "attach", "changes", "executions", "health", "logs", "pause", "prune",
            "rename", "resize", "restart", "stats", "top", "update",
        )
    ),
    "tiffin.engine.images.archives",
    "tiffin.engine.images.prune",
    "tiffin.engine.images.push",
    "tiffin.engine.images.remote",
    "tiffin.engine.networks.connect",
    "tiffin.layers.apply",
    "tiffin.networks.macvlan",
    "tiffin.registry.client",
    "tiffin.server.tls:TlsTransport",
)  # fmt: skip
"""Use-cases that their services only call."""


def import_engine() -> None:
    """Import the engine; of its use-cases, what not every daemon comes to is loaded when it does."""
    with late_modules(*_ENGINE_SPARES):
        importlib.import_module("tiffin.daemon.service")


def import_server() -> None:
    """Import asyncio, aiohttp's server and msgspec without the parts that an idle daemon never uses.

    They are loaded when something does use them; 6 MB of 40 otherwise. Libraries that have changed
    so much that a stand-in does not do are imported as they are.
    """
    with late_modules(*_ASYNCIO_SPARES):
        importlib.import_module("asyncio")
        importlib.import_module("shutil")
    # It takes the same names from `typing`, where they have been since Python 3.11.
    with absent_modules("typing_extensions"), late_modules(*_MSGSPEC_SPARES):
        importlib.import_module("msgspec")
    defer_aiohttp_client()
    spare_mime_types()
    loaded = set(sys.modules)
    try:
        # Its server needs ssl for annotations only; the client half gets the real one.
        # FrozenList in C++ is a megabyte of libraries for the six lists of signals that we have.
        with absent_modules("ssl", "frozenlist._frozenlist"), late_modules(*_AIOHTTP_SPARES):
            with _type_variables():
                importlib.import_module("aiosignal")
            importlib.import_module("aiohttp.web")
    except (ImportError, TypeError, AttributeError):
        for name in set(sys.modules) - loaded:
            del sys.modules[name]
        importlib.import_module("aiohttp.web")


@contextmanager
def _type_variables() -> Iterator[None]:
    """Spare `typing_extensions` where only a type variable's default is wanted, for checkers."""
    if "typing_extensions" in sys.modules or sys.version_info >= (3, 13):
        yield
        return
    module = ModuleType("typing_extensions")
    vars(module)["TypeVarTuple"] = lambda name, **_: TypeVarTuple(name)
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        del sys.modules[module.__name__]


def defer_aiohttp_client() -> None:
    """Let `aiohttp.web` load without the other half of its package; call it before any import.

    `aiohttp/__init__.py` imports the whole client, a tenth of an idle daemon's memory and of its
    start-up time. The package object that is put in its place here runs that file at the first use
    of a name that only it defines (`aiohttp.ClientSession`), so that nothing is missing.
    """
    spec = importlib.util.find_spec("aiohttp")
    if "aiohttp" in sys.modules or spec is None or spec.origin is None:
        return
    version = re.search(r'^__version__ = "([^"]+)"', Path(spec.origin).read_text(), re.MULTILINE)
    if version is None:
        return
    package = _DeferredPackage("aiohttp")
    package.__spec__ = spec
    package.__path__ = spec.submodule_search_locations or []
    package.__file__ = spec.origin
    package.__dict__["__version__"] = version[1]
    sys.modules["aiohttp"] = package


def spare_mime_types() -> None:
    """Keep aiohttp from reading the system's tables for static files, which we do not serve."""
    mimetypes.knownfiles.clear()


class _DeferredPackage(ModuleType):
    """A package whose `__init__` runs when a name is missed that is no submodule."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or self.__spec__ is None or self.__spec__.loader is None:
            raise AttributeError(name)
        if importlib.util.find_spec(f"{self.__name__}.{name}") is not None:
            return importlib.import_module(f"{self.__name__}.{name}")
        self.__class__ = ModuleType  # type: ignore[assignment]  # an ordinary module from now on
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)
