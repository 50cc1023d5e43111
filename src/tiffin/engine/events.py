"""The event bus: what happened to which object, for `GET /events` and for parts of the engine."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

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

    @property
    def listeners(self) -> int:
        """How many subscribers there are."""
        return len(self._subscribers)

    def subscribe(
        self,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        accepts: Callable[[Event], bool] = lambda _event: True,
    ) -> "Subscription":
        """Return past events from `since_ns` on (none if it is None), then live ones to `until_ns`.

        Nothing that happens after this call is missed. Close the subscription when done.
        """
        past = [e for e in self._history if since_ns is not None and e.time_ns >= since_ns]
        subscription = Subscription(past, until_ns, accepts, self._subscribers)
        self._subscribers.add(subscription.queue)
        return subscription


class Subscription:
    """An asynchronous iterator of events; also a context manager that closes it."""

    def __init__(
        self,
        past: Iterable[Event],
        until_ns: int | None,
        accepts: Callable[[Event], bool],
        registered: "set[asyncio.Queue[Event]]",
    ) -> None:
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        self._until_ns = until_ns
        self._accepts = accepts
        self._registered = registered
        for event in past:
            self.queue.put_nowait(event)

    def close(self) -> None:
        """Stop listening; idempotent."""
        self._registered.discard(self.queue)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = await self._next()
            if event is None or (self._until_ns is not None and event.time_ns > self._until_ns):
                raise StopAsyncIteration
            if self._accepts(event):
                return event

    async def _next(self) -> Event | None:
        if not self.queue.empty():
            return self.queue.get_nowait()
        if self._until_ns is None:
            return await self.queue.get()
        left = (self._until_ns - time.time_ns()) / 1e9
        if left <= 0:
            return None
        try:
            return await asyncio.wait_for(self.queue.get(), left)
        except TimeoutError:
            return None
