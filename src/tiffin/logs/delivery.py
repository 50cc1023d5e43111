"""Messages on their way to a log server: a bounded queue, and a thread that sends.

    intake ── put ──► queue ── thread ──► RemoteDriver ──► server

A server that is slow holds the container up, as Docker's blocking mode does; one that is dead must
not. So whoever puts messages waits for room, but no longer than `STALL_S` after the last message
got through; from then on what finds no room is dropped, until the server takes messages again.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

from tiffin.logs.messages import Message
from tiffin.logs.remote import RemoteDriver

STALL_S = 3.0
_AT_ONCE = 256
_OVERHEAD = 200
"""Bytes that a message takes besides its text."""


class Delivery:
    """`limit` is in bytes; with `waits` unset what finds no room is dropped at once.

    `note` is told of the first failure after a success.
    """

    def __init__(
        self, driver: RemoteDriver, *, limit: int, waits: bool, note: Callable[[Exception], None]
    ) -> None:
        self._driver = driver
        self._limit = limit
        self._waits = waits
        self._note = note
        self._changed = threading.Condition()
        self._queue: deque[Message] = deque()
        self._size = 0
        self._progress_at = time.monotonic()
        self._deadline = float("inf")
        self._connected = False
        self.dropped = 0
        """Messages that were given up."""
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self, *, connected: bool) -> None:
        """Begin to send; `connected` says whether the driver is already."""
        self._connected = connected
        self._thread.start()

    def put(self, message: Message) -> None:
        """Queue a message."""
        size = len(message.line) + _OVERHEAD
        with self._changed:
            if not self._size:
                self._progress_at = time.monotonic()
            while self._size and self._size + size > self._limit:
                patience = self._progress_at + STALL_S - time.monotonic()
                if not self._waits or patience <= 0:
                    self.dropped += 1
                    return
                self._changed.wait(patience)
            self._queue.append(message)
            self._size += size
            self._changed.notify_all()

    def finish(self, timeout_s: float) -> None:
        """Return when everything has been sent, or after a time."""
        with self._changed:
            self._deadline = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and self._deadline == float("inf"):
                    self._changed.wait()
                if not self._queue:
                    break
                count = min(len(self._queue), _AT_ONCE)
                batch = deque(self._queue.popleft() for _ in range(count))
            self._deliver(batch)
        self._driver.close()

    def _deliver(self, batch: deque[Message]) -> None:
        """Send a batch, however often it takes."""
        retry = self._driver.retry
        pause_s, failures = 0.0, 0
        while batch:
            before = _size_of(batch)
            try:
                if not self._connected:
                    self._driver.connect()
                    self._connected = True
                self._driver.send(batch)
            except OSError as error:
                self._driver.close()
                self._connected = False
                if not failures:
                    self._note(error)
                failures += 1
            except Exception as error:  # noqa: BLE001  # a driver's bug costs one message
                self._note(error)
                self._give_up(batch)
                continue
            left = _size_of(batch)
            if left < before:
                self._sent(before - left)
                pause_s, failures = 0.0, min(failures, 1)
            if failures > retry.attempts:
                self._give_up(batch)
                failures = 0
            elif failures and batch:
                self._pause(pause_s)
                pause_s = min(pause_s * retry.factor, retry.longest_s) or retry.first_s

    def _sent(self, size: int) -> None:
        with self._changed:
            self._size -= size
            self._progress_at = time.monotonic()
            self._changed.notify_all()

    def _give_up(self, batch: deque[Message]) -> None:
        message = batch.popleft()
        with self._changed:
            self._size -= len(message.line) + _OVERHEAD
            self.dropped += 1
            self._changed.notify_all()

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(min(seconds, max(0.0, self._deadline - time.monotonic())))


def _size_of(messages: deque[Message]) -> int:
    return sum(len(message.line) + _OVERHEAD for message in messages)
