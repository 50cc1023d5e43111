"""Keeps the spawner small: each page of it is one that every shim shares, copies or unmaps."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType


def defer(name: str, *functions: str) -> None:
    """Load the module at the first use of a name in it; call it before anything imports it.

    `functions` may be imported by name meanwhile; a call of one loads the module.

    `dataclasses` imports `inspect`, which brings the compiler's tables, and uses it for what none of
    our classes needs: 2 MB. `pathlib` imports a function of `urllib.parse` to make URLs: 0.4 MB.
    """
    if name not in sys.modules:
        module = sys.modules[name] = _Deferred(name)
        for function in functions:
            vars(module)[function] = _late(module, function)


def _late(module: ModuleType, name: str) -> Callable[..., object]:
    def call(*arguments: object, **named: object) -> object:
        vars(module).pop(name, None)
        function: Callable[..., object] = getattr(module, name)
        return function(*arguments, **named)

    return call


class _Deferred(ModuleType):
    """Stands for a module until a name is missed."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)
