"""What the daemon does when nobody asks it for anything: it gives back the memory that work took."""

import asyncio
from collections.abc import Callable

from aiohttp import web

QUIET_S = 2.0
"""Without a request for so long, the daemon is at rest."""


class Rest:
    """Calls `begin` whenever the daemon comes to rest; costs a look at the clock per request."""

    def __init__(self, begin: Callable[[], None], quiet_s: float = QUIET_S) -> None:
        self._begin = begin
        self._quiet_s = quiet_s
        self._asked_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def notice(self, request: web.Request, response: web.StreamResponse) -> None:
        """Take note of a request that is being answered (a signal handler of aiohttp's)."""
        del request, response
        loop = asyncio.get_running_loop()
        self._asked_at = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._quiet_s, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        left = self._asked_at + self._quiet_s - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._look)
            return
        self._timer = None
        self._begin()
