"""Persisting containers without making anybody wait for the disk who need not.

One thread writes what has piled up in one transaction, so parallel creates share an fsync.
"""

import asyncio
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from tiffin.engine.containers.model import Container, ContainerSpec, Instance
from tiffin.state.containers import ContainerRecord, ContainerRecords, retired_container
from tiffin.state.retired import Retired


@dataclass(frozen=True, slots=True)
class _Write:
    """A record to be written, None to be removed; `done` is who waits for it."""

    id: str
    record: ContainerRecord | None
    durable: bool
    done: asyncio.Future[None] | None
    retire: tuple[int, int] | None = None
    """Operation and size, for a container that goes to the trash."""


class Store:
    """Writes containers behind their backs, in order; reads them once at start."""

    def __init__(self, records: ContainerRecords) -> None:
        self._records = records
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def load(self) -> Iterator[Container]:
        """Yield every stored container."""
        for record in self._records.all():
            yield _container(record)

    def save(self, container: Container) -> None:
        """Write soon; a crash of this process may lose it, which recovery copes with."""
        self._put(_Write(container.id, _record(container), durable=False, done=None))

    async def saved(self, container: Container, *, durable: bool = False) -> None:
        """Write now; when `durable`, it survives a power cut once this returns."""
        await self._wait(container.id, _record(container), durable=durable)

    async def deleted(self, container: Container) -> None:
        """Delete now."""
        await self._wait(container.id, None, durable=False)

    async def retired(self, container: Container, operation: int, size: int) -> None:
        """Move it to the trash now, durably."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(_Write(container.id, _record(container), True, done, (operation, size)))
        await done

    async def restored(self, item: Retired) -> Container:
        """Bring one back from the trash, durably, and return it."""
        await asyncio.to_thread(self._records.restore, item)
        return _container(retired_container(item))

    def forget_retired(self, item: Retired) -> Container:
        """Drop one of the trash, durably, and return it. Blocking."""
        self._records.forget_retired(item)
        return _container(retired_container(item))

    def retired_containers(self) -> list[Container]:
        """Return those in the trash. Blocking."""
        return [_container(record) for record in self._records.retired()]

    async def close(self) -> None:
        """Write what is left and end the thread."""
        if self._thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)
            self._thread = None

    async def _wait(
        self, identifier: str, record: ContainerRecord | None, *, durable: bool
    ) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(_Write(identifier, record, durable, done))
        await done

    def _put(self, write: _Write) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="containers", daemon=True)
            self._thread.start()
        self._queue.put(write)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            stopping = None in batch
            self._commit([write for write in batch if write is not None])

    def _commit(self, batch: list[_Write]) -> None:
        # Later writes of the same container replace earlier ones.
        last = {write.id: write for write in batch}.values()
        error: Exception | None = None
        try:
            if batch:
                self._records.write(
                    [write.record for write in last if write.record and not write.retire],
                    [write.id for write in last if write.record is None],
                    durable=any(write.durable for write in batch),
                )
            for write in last:
                if write.record is not None and write.retire is not None:
                    self._records.retire(write.record, *write.retire)
        except Exception as caught:  # noqa: BLE001  # handed to whoever waits
            error = caught
        for write in batch:
            if write.done is not None:
                write.done.get_loop().call_soon_threadsafe(_finish, write.done, error)


def _finish(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)


def _container(record: ContainerRecord) -> Container:
    return Container(
        msgspec.json.decode(record.spec, type=ContainerSpec),
        record.name,
        msgspec.json.decode(record.instance, type=Instance),
    )


def _record(container: Container) -> ContainerRecord:
    return ContainerRecord(
        container.id,
        container.name,
        msgspec.json.encode(container.spec),
        msgspec.json.encode(container.instance),
    )
