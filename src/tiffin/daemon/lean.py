"""Keeps the idle daemon small: what a server never uses is not loaded until somebody asks for it."""

import ctypes
import gc
import importlib
import importlib.util
import mimetypes
import re
import sys
from pathlib import Path
from types import ModuleType

_M_ARENA_MAX = -8
"""mallopt(3): how many heaps the threads of a process share."""


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


def share_heaps() -> None:
    """Have all threads share one malloc heap: each further one keeps pages that it once used."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Collect garbage and return what malloc holds but nobody uses to the kernel."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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
