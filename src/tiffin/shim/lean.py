"""Keeps the spawner small: each page of it is one that every shim shares, copies or unmaps."""

import importlib
import sys
from types import ModuleType


def defer(name: str) -> None:
    """Load the module at the first use of a name in it; call it before anything imports it.

    `dataclasses` imports `inspect`, which brings the compiler's tables, and uses it for what none of
    our classes needs: 2 MB.
    """
    if name not in sys.modules:
        sys.modules[name] = _Deferred(name)


class _Deferred(ModuleType):
    """Stands for a module until a name is missed."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)
