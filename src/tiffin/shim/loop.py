"""The shim's event loop: epoll and timers, nothing else.

Level-triggered. A handler may be called once more than there is something to do (its descriptor was
closed and the number reused in the same round), so handlers never block and cope with EAGAIN.
"""

import heapq
import itertools
import select
import time
from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANG_UP = select.EPOLLHUP | select.EPOLLERR
PEER_CLOSED = select.EPOLLRDHUP

FAULT_PAUSE_S = 0.01
"""A handler that fails each time must not take a whole core."""

Handler = Callable[[int], None]
"""Called with the epoll event mask."""


class Timer:
    """A call to come; `cancel` is idempotent."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Don't call."""
        self.callback = None


class Loop:
    """Calls handlers when their descriptors are ready.

    An exception that a handler lets through is a bug; it is given to `on_fault`, inside the
    `except`, and the others go on: whatever it is, it must not take a container down.
    """

    def __init__(self) -> None:
        self.on_fault: Callable[[], object] = lambda: None
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._stopped = False

    def add(self, fd: int, events: int, handler: Handler) -> None:
        """Watch a descriptor; hang-ups and errors are always reported."""
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, fd: int, events: int) -> None:
        """Watch for other events."""
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Stop watching; call it before the descriptor is closed. Idempotent."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call once after a delay."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._order), timer))
        return timer

    def stop(self) -> None:
        """Return from `run` after this round."""
        self._stopped = True

    def run(self) -> None:
        """Work until stopped."""
        handlers = self._handlers
        poll = self._epoll.poll
        while not self._stopped:
            for fd, events in poll(self._time_left()):
                handler = handlers.get(fd)
                if handler is not None:
                    try:
                        handler(events)
                    except Exception:  # noqa: BLE001
                        self._fault()
            if self._timers:
                self._run_timers()

    def close(self) -> None:
        """Close the epoll descriptor."""
        self._epoll.close()

    def _time_left(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                try:
                    callback()
                except Exception:  # noqa: BLE001
                    self._fault()

    def _fault(self) -> None:
        self.on_fault()
        time.sleep(FAULT_PAUSE_S)
