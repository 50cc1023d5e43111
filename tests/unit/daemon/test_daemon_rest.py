"""The daemon comes to rest once, some time after the last request."""

import asyncio
from typing import Any

from tiffin.daemon.rest import Rest

ANY: Any = None


def test_rest_begins_once_after_the_last_request() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        rested = asyncio.Event()
        began: list[float] = []

        def begin() -> None:
            began.append(loop.time())
            rested.set()

        rest = Rest(begin, quiet_s=0.02)
        for _ in range(3):
            asked = loop.time()
            await rest.notice(ANY, ANY)
        await asyncio.wait_for(rested.wait(), 5)
        assert len(began) == 1
        assert began[0] - asked >= 0.02
        rested.clear()
        await rest.notice(ANY, ANY)
        await asyncio.wait_for(rested.wait(), 5)
        assert len(began) == 2

    asyncio.run(scenario())
