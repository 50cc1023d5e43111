"""Lines on their way from a build's threads to its client, in batches."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from typing import Any

Line = Mapping[str, Any]
"""One JSON line of a build's output."""

GATHER_S = 0.002
"""How long a line waits for company: cached builds say everything in a few milliseconds, and waking
the event loop for each line would cost them more than their work."""


class Lines:
    """Filled from any thread, emptied in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting: list[Line] = []
        self._woken = asyncio.Event()
        self._ended = False

    def put(self, line: Line) -> None:
        """Add one line."""
        with self._lock:
            self._waiting.append(line)
            is_first = len(self._waiting) == 1
        if is_first:
            self._loop.call_soon_threadsafe(self._woken.set)

    def end(self) -> None:
        """Add no more; call it in the event loop."""
        self._ended = True
        self._woken.set()

    async def batches(self) -> AsyncIterator[list[Line]]:
        """Yield what there is, until the end."""
        while not self._ended:
            await self._woken.wait()
            self._woken.clear()
            if not self._ended:
                await asyncio.sleep(GATHER_S)
            if batch := self._take():
                yield batch
        if batch := self._take():
            yield batch

    def _take(self) -> list[Line]:
        with self._lock:
            batch, self._waiting = self._waiting, []
        return batch
