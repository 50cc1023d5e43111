"""Leases: what is being made or used right now is not garbage, though nothing refers to it yet.

Hold a name *before* looking whether it exists: what was found then stays until the lease ends.
"""

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self


class Lease:
    """Keeps blobs (digests) and snapshots (chain IDs) while it is open; a context manager.

    When it ends, what it held and nothing else refers to is deleted. One that `adds` nothing only
    lets go of what existed.
    """

    def __init__(self, release: Callable[["Lease"], None], *, adds: bool) -> None:
        self.adds = adds
        self._release = release
        self._lock = threading.Lock()
        self._names: set[str] = set()

    @property
    def names(self) -> frozenset[str]:
        """What is held."""
        with self._lock:
            return frozenset(self._names)

    def hold(self, *names: str) -> None:
        """Keep these too, whether they exist already or will."""
        with self._lock:
            self._names.update(names)

    def close(self) -> None:
        """End it; a second time does nothing."""
        self._release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Leases:
    """All open leases; `ended` is called with what a lease held, after it has let go."""

    def __init__(self, ended: Callable[[Iterable[str]], object]) -> None:
        self._ended = ended
        self._lock = threading.Lock()
        self._open: set[Lease] = set()

    def open(self, *, adds: bool = True) -> Lease:
        """Begin one."""
        lease = Lease(self._close, adds=adds)
        with self._lock:
            self._open.add(lease)
        return lease

    def held(self) -> set[str]:
        """Return all that is held now."""
        with self._lock:
            return set().union(*(lease.names for lease in self._open))

    def _close(self, lease: Lease) -> None:
        with self._lock:
            if lease not in self._open:
                return
            self._open.discard(lease)
        self._ended(lease.names if lease.adds else ())
