"""A flag that stops a build: when its client goes away, on request, or when one step has failed."""

import threading
from collections.abc import Callable

from tiffin.errors import Cancelled


class CancellationToken:
    """Set once, from any thread; subscribers are called once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._subscribers: dict[object, Callable[[], None]] = {}

    @property
    def is_set(self) -> bool:
        """Whether the build is to stop."""
        return self._is_set

    def cancel(self) -> None:
        """Ask the build to stop."""
        with self._lock:
            self._is_set = True
            subscribers = list(self._subscribers.values())
            self._subscribers.clear()
        for stop in subscribers:
            stop()

    def check(self) -> None:
        """Raise Cancelled if the build is to stop."""
        if self._is_set:
            raise Cancelled("build cancelled")

    def subscribe(self, stop: Callable[[], None]) -> Callable[[], None]:
        """Have `stop` called on cancellation; return a function that takes it back."""
        token = object()
        with self._lock:
            if not self._is_set:
                self._subscribers[token] = stop
                return lambda: self._forget(token)
        stop()
        return lambda: None

    def _forget(self, token: object) -> None:
        with self._lock:
            self._subscribers.pop(token, None)
