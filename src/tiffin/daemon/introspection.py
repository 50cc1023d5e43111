"""`inspect` without `inspect`: what asyncio and aiohttp ask of it while they serve.

`dataclasses`, asyncio and aiohttp import the module, and it brings the compiler's tables, a megabyte.
Whatever else is asked of it loads the real one; Python 3.11 asks for the signature of a dataclass
without a docstring, which is why each of ours has one.
"""

import sys
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from tiffin.shim.lean import defer

_MOST_WRAPPERS = 1000
_CO_COROUTINE = 0x80  # a code object's flag, see `dis` and `inspect`


def defer_inspect() -> None:
    """Put a stand-in for `inspect` where it is not loaded yet; call it before any import."""
    if "inspect" not in sys.modules:
        defer("inspect")
        names = vars(sys.modules["inspect"])
        names["iscoroutinefunction"] = is_coroutine_function
        names["unwrap"], names["isfunction"] = unwrap, is_function
        names["currentframe"] = sys._getframe  # noqa: SLF001  # which it is


def is_coroutine_function(function: object) -> bool:
    """Tell whether calling `function` makes a coroutine, as `inspect.iscoroutinefunction` does."""
    while isinstance(function, MethodType | partial):
        function = function.__func__ if isinstance(function, MethodType) else function.func
    if isinstance(function, FunctionType):
        return bool(function.__code__.co_flags & _CO_COROUTINE) or _is_marked(function)
    return False


def is_function(thing: object) -> bool:
    """Tell whether it is a function of Python's, as `inspect.isfunction` does."""
    return isinstance(thing, FunctionType)


def unwrap(function: Any) -> object:  # noqa: ANN401  # anything, as `inspect` has it
    """Return what `functools.wraps` was put around, as `inspect.unwrap` does."""
    for _ in range(_MOST_WRAPPERS):
        if not hasattr(function, "__wrapped__"):
            return function
        function = function.__wrapped__
    raise ValueError(f"wrapper loop when unwrapping {function!r}")


def _is_marked(function: FunctionType) -> bool:
    # Python 3.12: `inspect.markcoroutinefunction`, which loads the real module.
    mark = getattr(function, "_is_coroutine_mark", None)
    return mark is not None and mark is getattr(sys.modules["inspect"], "_is_coroutine_mark", None)
