"""What stands in for `inspect` answers as it does."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tiffin.daemon.introspection import is_coroutine_function, is_function, unwrap


async def coroutine() -> None:
    """Do nothing."""


async def generator() -> AsyncIterator[int]:
    """Yield once."""
    yield 1


def plain() -> None:
    """Do nothing."""


@functools.wraps(plain)
def wraps_plain() -> None:
    """Do nothing."""


class Thing:
    """Has methods of both kinds."""

    async def method(self) -> None:
        """Do nothing."""

    def plain(self) -> None:
        """Do nothing."""

    async def __call__(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    "function",
    [
        coroutine, generator, plain, Thing.method, Thing().method, Thing().plain, Thing(), Thing,
        functools.partial(coroutine), functools.partial(functools.partial(Thing().method)),
        functools.partial(plain), len, None, wraps_plain,
    ],
)  # fmt: skip
def test_as_inspect_has_it(function: Callable[..., Any]) -> None:
    assert is_coroutine_function(function) is inspect.iscoroutinefunction(function)
    assert is_function(function) is inspect.isfunction(function)
    assert unwrap(function) is inspect.unwrap(function)


def test_a_loop_of_wrappers_is_told() -> None:
    def looping() -> None:
        pass

    looping.__wrapped__ = looping  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="wrapper loop"):
        unwrap(looping)
