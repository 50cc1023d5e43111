"""Modules that are loaded when they are first used, not when they are first named.

`import x` and `from x import y` in a library cost what `x` costs, however rarely `y` is called.
Within `late_modules("x")` both get stand-ins instead, which load the real module at the first use:
a call of `y`, an attribute, comparison or test of it, or, once the block has been left, an attribute
of `x`. When that happens, whoever imported names of `x` has the real ones in their place.

A stand-in is no class: nothing may inherit from it or catch it by `except`. Inheriting fails at
once, at import; see `lean.py` for what happens then. No other use is known to Python alone, and a
test finds `except`. `isinstance` loads the module; where that is asked too often to be worth it,
`late_modules("x:Y")` says that nothing is an instance of `x.Y` until `x` is loaded.
"""

import importlib
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def late_modules(*names: str) -> Iterator[None]:
    """Give whoever imports one of `names` within the block a stand-in; loaded ones are left alone.

    Each is `module` or `module:Class`. Afterwards `import` finds the real modules again.
    """
    wanted = [name.partition(":") for name in names]
    modules = [_LateModule(name, tested) for name, _, tested in wanted if name not in sys.modules]
    for module in modules:
        sys.modules[module.__name__] = module
    before = set(sys.modules)
    try:
        yield
    finally:
        _note_importers([sys.modules[name] for name in sys.modules.keys() - before])
        for module in modules:
            module.__dict__["_late_naming"] = False
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
        self._late_naming = True
        self._late_loaded = False
        self._late_tested = tested
        self._late_importers: list[dict[str, object]] = []
        """The globals of those that have a name of this one, be it by way of others."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == self._late_tested and sys.modules.get(self.__name__) in (None, self):
            return _Nothing
        if self._late_naming:
            return _LateName(self, name)
        return getattr(self._late_load(), name)

    def _late_load(self) -> ModuleType:
        """Import the module; its names, and those it has of others, are real from now on."""
        real = importlib.import_module(self.__name__)
        if real is self or self._late_loaded:
            return real
        self._late_loaded = True
        for importer in self._late_importers:
            for key, value in tuple(importer.items()):
                if isinstance(value, _LateName) and value._late[0] is self:  # noqa: SLF001
                    importer[key] = getattr(real, value._late[1])  # noqa: SLF001
        self._late_importers.clear()
        for key, value in tuple(vars(real).items()):
            if isinstance(value, _LateName):
                vars(real)[key] = value._late_real()  # noqa: SLF001
        return real


def _note_importers(modules: list[ModuleType]) -> None:
    for module in modules:
        for value in vars(module).values():
            if type(value) is _LateName:
                value._late[0]._late_importers.append(vars(module))  # noqa: SLF001


class _Nothing:
    """A class without instances."""


class _LateName:
    """Something of a late module: whatever is done with it is done with the real thing."""

    __slots__ = ("_late",)

    def __init__(self, module: _LateModule, name: str) -> None:
        self._late = (module, name)

    def __call__(self, *arguments: object, **named: object) -> object:
        return self._late_real()(*arguments, **named)

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):  # what Python asks of a base class
            raise AttributeError(name)
        return getattr(self._late_real(), name)

    def __instancecheck__(self, instance: object) -> bool:
        return isinstance(instance, self._late_real())

    def __subclasscheck__(self, subclass: type) -> bool:
        return issubclass(subclass, self._late_real())

    def __or__(self, other: object) -> object:
        return object if self._late_is_named else self._late_real() | other

    def __ror__(self, other: object) -> object:
        return object if self._late_is_named else other | self._late_real()

    def __getitem__(self, item: object) -> object:
        return self if self._late_is_named else self._late_real()[item]

    @property
    def _late_is_named(self) -> bool:
        """Whether this is the time of annotations, which join, index and compare types."""
        return bool(vars(self._late[0])["_late_naming"])

    def __eq__(self, other: object) -> bool:
        return self is other if self._late_is_named else bool(self._late_real() == other)

    def __hash__(self) -> int:
        return object.__hash__(self) if self._late_is_named else hash(self._late_real())

    def __bool__(self) -> bool:
        return self._late_is_named or bool(self._late_real())

    def _late_real(self) -> Any:  # noqa: ANN401  # whatever it is
        module, name = self._late
        real = getattr(module._late_load(), name)  # noqa: SLF001
        if isinstance(real, _LateName):
            raise ImportError(f"{module.__name__}.{name} is used while it may only be named")
        return real


def _on_real(operation: Callable[..., object]) -> Callable[..., object]:
    def apply(self: _LateName, *others: object) -> object:
        return operation(self._late_real(), *others)

    return apply


_OPERATIONS: dict[str, Callable[..., object]] = {
    "__lt__": operator.lt, "__le__": operator.le,
    "__gt__": operator.gt, "__ge__": operator.ge, "__add__": operator.add, "__sub__": operator.sub,
    "__mul__": operator.mul, "__truediv__": operator.truediv, "__floordiv__": operator.floordiv,
    "__mod__": operator.mod, "__and__": operator.and_, "__neg__": operator.neg,
    "__radd__": lambda real, other: other + real, "__rsub__": lambda real, other: other - real,
    "__rmul__": lambda real, other: other * real,
    "__rtruediv__": lambda real, other: other / real, "__rand__": lambda real, other: other & real,
    "__contains__": operator.contains, "__index__": operator.index, "__iter__": iter, "__len__": len,
    "__int__": int, "__float__": float, "__str__": str,
}  # fmt: skip
for _word, _operation in _OPERATIONS.items():
    setattr(_LateName, _word, _on_real(_operation))
