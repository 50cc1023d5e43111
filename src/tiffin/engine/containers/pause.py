"""Pause and unpause."""

from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.engine.tasks.contract import TaskHandle
from tiffin.errors import Conflict


async def pause(context: Context, container: Container) -> None:
    """Freeze all processes; Conflict unless it runs."""
    async with container.lock:
        if container.status is Status.PAUSED:
            raise Conflict(f"Container {container.id} is already paused")
        handle = _running(container)
        await handle.pause()
        container.move(Status.PAUSED)
        context.store.save(container)
    context.publish(container, "pause")


async def unpause(context: Context, container: Container) -> None:
    """Thaw; Conflict unless it is paused."""
    async with container.lock:
        if container.status is not Status.PAUSED or container.handle is None:
            raise Conflict(f"Container {container.id} is not paused")
        await container.handle.resume()
        container.move(Status.RUNNING)
        context.store.save(container)
    context.publish(container, "unpause")


def _running(container: Container) -> TaskHandle:
    if container.status is Status.RESTARTING:
        raise Conflict(
            f"Container {container.id} is restarting, wait until the container is running"
        )
    if container.handle is None or not container.alive:
        raise Conflict(f"container {container.id} is not running")
    return container.handle
