"""Leases: what is being made or used right now is not garbage, though nothing refers to it yet.

Hold a name *before* looking whether it exists: what was found then stays until the lease ends. For
that, holding and deleting exclude each other name by name: who holds a name that is just being
deleted waits until it is gone, and then finds it missing.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class Lease:
    """Keeps blobs (digests) and snapshots (chain IDs) while it is open; a context manager.

    When it ends, what it held and nothing else refers to is deleted. One that `adds` nothing only
    lets go of what existed.
    """

    def __init__(self, leases: "Leases", *, adds: bool) -> None:
        self.adds = adds
        self.names: set[str] = set()
        """What is held; only `Leases` changes it."""
        self._leases = leases

    def hold(self, *names: str) -> None:
        """Keep these too, whether they exist already or will."""
        self._leases.hold(self, names)

    def close(self) -> None:
        """End it, which may delete files; a second time does nothing."""
        self._leases.close(self)

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
        self._changed = threading.Condition()
        self._open: set[Lease] = set()
        self._doomed: set[str] = set()

    def open(self, *, adds: bool = True) -> Lease:
        """Begin one."""
        lease = Lease(self, adds=adds)
        with self._changed:
            self._open.add(lease)
        return lease

    def hold(self, lease: Lease, names: Iterable[str]) -> None:
        """Add to a lease; waits for deletions of these names that have begun."""
        with self._changed:
            lease.names.update(names)
            self._changed.wait_for(lambda: self._doomed.isdisjoint(lease.names))

    def close(self, lease: Lease) -> None:
        """End a lease."""
        with self._changed:
            if lease not in self._open:
                return
            self._open.discard(lease)
        self._ended(lease.names if lease.adds else ())

    @contextmanager
    def deleting(self, name: str, *, besides: Lease | None = None) -> Iterator[bool]:
        """Yield whether `name` may be deleted in the block: nobody holds it, or can meanwhile.

        That `besides` holds it does not count.
        """
        with self._changed:
            allowed = not any(name in lease.names for lease in self._open - {besides})
            if allowed:
                self._doomed.add(name)
        try:
            yield allowed
        finally:
            if allowed:
                with self._changed:
                    self._doomed.discard(name)
                    self._changed.notify_all()
