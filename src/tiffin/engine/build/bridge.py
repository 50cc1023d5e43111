"""From a builder's thread into the event loop and back, with cancellation."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from tiffin.build.executor import Cancellation
from tiffin.errors import Cancelled

T = TypeVar("T")


def run_in_loop(
    loop: asyncio.AbstractEventLoop,
    work: Callable[[], Coroutine[Any, Any, T]],
    cancellation: Cancellation,
) -> T:
    """Run a coroutine in `loop` from another thread; return when it has really ended.

    On cancellation its task is cancelled, and Cancelled is raised once it has cleaned up.
    """
    ended: Future[T] = Future()
    tasks: list[asyncio.Task[T]] = []

    def begin() -> None:
        task = loop.create_task(work())
        tasks.append(task)
        task.add_done_callback(lambda task: _pass_on(task, ended))

    def stop() -> None:
        tasks[0].cancel()

    loop.call_soon_threadsafe(begin)
    unsubscribe = cancellation.subscribe(lambda: _call_in(loop, stop))
    try:
        return ended.result()
    finally:
        unsubscribe()


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(call)


def _pass_on(task: "asyncio.Task[T]", ended: "Future[T]") -> None:
    if task.cancelled():
        ended.set_exception(Cancelled("build cancelled"))
    elif (error := task.exception()) is not None:
        ended.set_exception(error)
    else:
        ended.set_result(task.result())
