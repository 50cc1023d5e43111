"""The event bus: what happened to which object, for `GET /events` and for parts of the engine."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

HISTORY = 1024
"""Events kept for clients that ask for the past, as many as Docker keeps at least."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `kind` is the noun (`container`, `image` …), `time_ns` Unix time."""

    kind: str
    action: str
    actor: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    time_ns: int = 0
    scope: str = "local"


class Events:
    """Fan-out of events to any number of subscribers; slow ones lose nothing but memory."""

    def __init__(self) -> None:
        self._history: deque[Event] = deque(maxlen=HISTORY)
        self._subscribers: set[asyncio.Queue[Event]] = set()

    def publish(
        self, kind: str, action: str, actor: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Record an event and wake the subscribers; call it in the event loop's thread."""
        event = Event(kind, action, actor, dict(attributes or {}), time.time_ns())
        self._history.append(event)
        for queue in self._subscribers:
            queue.put_nowait(event)

    async def subscribe(
        self,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        accepts: Callable[[Event], bool] = lambda _event: True,
        on_ready: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[Event]:
        """Yield past events from `since_ns` on (none if it is None), then live ones to `until_ns`.

        `on_ready` is called once nothing that happens from now on can be missed.
        """
        queue: asyncio.Queue[Event] = asyncio.Queue()
        past = [e for e in self._history if since_ns is not None and e.time_ns >= since_ns]
        self._subscribers.add(queue)
        try:
            on_ready()
            for event in past:
                if (until_ns is None or event.time_ns <= until_ns) and accepts(event):
                    yield event
            async for event in _live(queue, until_ns):
                if accepts(event):
                    yield event
        finally:
            self._subscribers.discard(queue)


async def _live(queue: asyncio.Queue[Event], until_ns: int | None) -> AsyncIterator[Event]:
    while True:
        left = None if until_ns is None else (until_ns - time.time_ns()) / 1e9
        if left is not None and left <= 0:
            return
        with suppress(TimeoutError):
            yield await asyncio.wait_for(queue.get(), left)
