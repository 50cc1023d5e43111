"""What every use-case of images works with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ParamSpec, Protocol, TypeVar

from tiffin.engine.events import Events
from tiffin.engine.trash.contract import Bin, NoBin
from tiffin.errors import DataLoss, NotFound
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.images.store import ImageStore
from tiffin.spec.digest import Digest
from tiffin.wire.jsonmessage import JsonMessage

P = ParamSpec("P")
T = TypeVar("T")

Progress = Callable[[JsonMessage], None]
"""Takes one line of a progress stream; called in the event loop's thread, never blocks."""


def silent(_message: JsonMessage) -> None:
    """Report to nobody."""


class ImageUsers(Protocol):
    """Who uses images: the containers."""

    def users_of(self, image_id: Digest) -> Sequence[tuple[str, bool]]:
        """Return (container id, is running) of every container made from the image."""


class NoUsers:
    """Nobody uses images."""

    def users_of(self, image_id: Digest) -> Sequence[tuple[str, bool]]:
        """Return nothing."""
        del image_id
        return ()


@dataclass(slots=True)
class ImageContext:
    """The store, who uses it, and where long work is done.

    `workers` is a pool apart: layers and archives may keep a thread busy for minutes. `removing`
    makes removals wait for each other.
    """

    store: ImageStore
    events: Events
    users: ImageUsers = field(default_factory=NoUsers)
    bin: Bin = field(default_factory=NoBin)
    """Where removed images go."""
    workers: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(32, thread_name_prefix="images")
    )
    removing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work in the pool.

        A caller that is cancelled waits until it is done: what it uses may then be let go.
        """
        return await self.run_stoppable(_nothing, work, *args, **kwargs)

    async def run_stoppable(
        self, stop: Callable[[], None], work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `run`; `stop` is called when the caller is cancelled, to make the work end soon."""
        loop = asyncio.get_running_loop()
        task = loop.run_in_executor(self.workers, lambda: work(*args, **kwargs))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # taken, so that it is not reported as lost
            raise

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Lease]:
        """Open a lease; ending it may delete files, which happens in the pool."""
        lease = self.store.lease()
        try:
            yield lease
        finally:
            await self.run(lease.close)

    @asynccontextmanager
    async def hold(self, image: Image) -> AsyncIterator[None]:
        """Keep an image whole meanwhile; NotFound if it is gone."""
        lease = await self.run(self.store.hold, image)
        try:
            yield
        finally:
            await self.run(lease.close)

    def publish(self, action: str, image_id: str, name: str = "") -> None:
        """Tell the world; labels of an image that is still here are part of the event."""
        attributes: dict[str, str] = {}
        try:
            attributes.update(self.store.resolve(image_id).config.config.labels)
        except (NotFound, DataLoss):
            pass  # deleted or damaged: the event has the name alone
        attributes["name"] = name or image_id
        self.events.publish("image", action, image_id, attributes)


def _nothing() -> None:
    pass


def created_seconds(image: Image) -> int:
    """Return Unix seconds of an image's creation, 0 if it does not say."""
    from tiffin.engine.images.times import parse_time

    moment = parse_time(image.config.created)
    return int(moment.timestamp()) if moment is not None else 0
