"""Start a container."""

from tiffin.engine.containers.context import Context, Explain, silent
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.engine.containers.supervise import auto_remove, launch_supervised
from tiffin.errors import Conflict, NotModified


async def start(context: Context, container: Container, explain: Explain = silent) -> None:
    """Run the container's program.

    NotModified if it runs, Conflict if it is paused or being removed, the reason otherwise.
    """
    async with container.lock:
        _check(container)
        container.stop_requested = False
        container.delay_s = 0.0
        container.instance.restart_count = 0
        container.instance.stopped_by_user = False
        try:
            await launch_supervised(context, container, explain)
            return
        except Exception as error:  # noqa: BLE001  # raised below, once the lock is free
            failure = error
    if container.spec.host.auto_remove:
        await auto_remove(context, container)
    raise failure


def _check(container: Container) -> None:
    if container.status is Status.PAUSED:
        raise Conflict("cannot start a paused container, try unpause instead")
    if container.up:
        raise NotModified("Container is already started")
    if container.status in (Status.REMOVING, Status.DEAD):
        raise Conflict("container is marked for removal and cannot be started")
