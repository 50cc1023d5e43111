"""Modules that are loaded when they are first used, not when they are first named.

`import x` and `from x import y` in a library cost what `x` costs, however rarely `y` is called.
Within `late_modules("x")` both get stand-ins instead, which load the real module at the first use:
a call of `y`, an attribute of it, or, once the block has been left, an attribute of `x`.

A stand-in is no class: nothing may inherit from it, catch it by `except` or test for it by
`isinstance`. Inheriting fails at once, at import; see `lean.py` for what happens then. For a test,
`late_modules("x:Y")` says that `x.Y` is one: nothing is an instance of it until `x` is loaded.
"""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def late_modules(*names: str) -> Iterator[None]:
    """Give whoever imports one of `names` within the block a stand-in; loaded ones are left alone.

    Each is `module` or `module:Class`. Afterwards `import` finds the real modules again.
    """
    wanted = [name.partition(":") for name in names]
    modules = [_LateModule(name, tested) for name, _, tested in wanted if name not in sys.modules]
    for module in modules:
        sys.modules[module.__name__] = module
    try:
        yield
    finally:
        for module in modules:
            module.__dict__["_naming"] = False
            if sys.modules.get(module.__name__) is module:
                del sys.modules[module.__name__]


@contextmanager
def absent_modules(*names: str) -> Iterator[None]:
    """Let imports of `names` fail within the block, for libraries that can do without."""
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: not to be imported
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class _LateModule(ModuleType):
    """Names of it are late too while it may only be named, the real ones later."""

    def __init__(self, name: str, tested: str) -> None:
        super().__init__(name)
        self._naming = True
        self._tested = tested

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == self._tested and sys.modules.get(self.__name__) in (None, self):
            return _Nothing
        if self._naming:
            return _LateName(self.__name__, name)
        return getattr(_load(self.__name__), name)


class _Nothing:
    """A class without instances."""


class _LateName:
    """Something of a late module: called or asked for an attribute, it is the real thing."""

    __slots__ = ("_late",)

    def __init__(self, module: str, name: str) -> None:
        self._late = (module, name)

    def __call__(self, *arguments: object, **named: object) -> object:
        return self._real()(*arguments, **named)  # type: ignore[operator]

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # what Python asks of a base class
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __or__(self, other: object) -> object:
        return object  # only annotations join types

    __ror__ = __or__

    def __getitem__(self, item: object) -> object:
        return self

    def _real(self) -> object:
        module, name = self._late
        real = getattr(_load(module), name)
        if isinstance(real, _LateName):
            raise ImportError(f"{module}.{name} is used while it may only be named")
        return real


def _load(name: str) -> ModuleType:
    """Import a module; the names that it takes from modules which had stand-ins become real, too.

    Only constants would notice: a stand-in is called and asked like the real thing.
    """
    module = importlib.import_module(name)
    for key, value in tuple(vars(module).items()):
        if isinstance(value, _LateName):
            vars(module)[key] = value._real()  # noqa: SLF001  # its own module's
    return module
