"""One flight for many passengers: work under one name is done once for all who ask meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Flights(Generic[T]):
    """Work in progress by name. It goes on if those who wait for it leave."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[T]] = {}

    async def join(self, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Wait for the work `name`, begun by whoever came first; its errors are everybody's."""
        task = self._tasks.get(name)
        if task is None:
            task = asyncio.ensure_future(_run(work))
            self._tasks[name] = task
            task.add_done_callback(lambda done: self._land(name, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Cancel what is in progress."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _land(self, name: str, done: "asyncio.Task[T]") -> None:
        self._tasks.pop(name, None)
        if not done.cancelled():
            done.exception()  # seen, also when nobody waits any more


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()
