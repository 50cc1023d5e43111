"""What follows the end of a container's program: record, clean up, restart or remove."""

import asyncio
import logging
from functools import partial

from tiffin.engine.bundle.mount_point import MountKind
from tiffin.engine.containers import health, policy
from tiffin.engine.containers import remove as removal
from tiffin.engine.containers.context import Context, Explain, silent
from tiffin.engine.containers.launch import launch
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.engine.tasks.contract import Exit, TaskHandle
from tiffin.errors import Conflict, NotFound, TiffinError

log = logging.getLogger(__name__)


async def launch_supervised(
    context: Context, container: Container, explain: Explain = silent
) -> None:
    """Launch, and have the end of the run waited for; the caller holds the lock."""
    handle = await launch(context, container, explain)
    follow(context, container, handle)


def follow(context: Context, container: Container, handle: TaskHandle) -> None:
    """Have the end of a run waited for, and its health checked."""
    container.supervisor = asyncio.create_task(
        supervise(context, container, handle), name=f"supervise {container.id}"
    )
    if handle.watch_oom(partial(_note_oom, context, container)) and (
        not container.instance.oom_killed
    ):
        _note_oom(context, container)
    health.begin(context, container)


def _note_oom(context: Context, container: Container) -> None:
    """Record that the kernel ran out of memory for the container; the event is of each time."""
    container.instance.oom_killed = True
    context.store.save(container)
    context.publish(container, "oom")


async def supervise(context: Context, container: Container, handle: TaskHandle) -> None:
    """Wait for the end of a run and do what is due then."""
    ended = await handle.wait()
    async with container.lock:
        if container.handle is not handle:
            return
        await conclude(context, container, ended)
    if container.status is Status.RESTARTING:
        await restart_later(context, container)
    elif container.spec.host.auto_remove and not container.keep:
        await auto_remove(context, container)


async def conclude(context: Context, container: Container, ended: Exit) -> None:
    """Record the end of a run, free what it used, choose the next state. The lock is held."""
    instance, handle = container.instance, container.handle
    health.end(container)
    container.handle = None
    for execution in container.executions.values():
        execution.container_ended()
    instance.pid = 0
    instance.exit_code, instance.error = ended.code, ended.error
    is_news = ended.oom_killed and not instance.oom_killed
    instance.oom_killed = instance.oom_killed or ended.oom_killed
    instance.finished_ns = ended.finished_ns
    ran_s = max(0.0, (instance.finished_ns - instance.started_ns) / 1e9)
    again = not container.stop_requested and policy.should_restart(
        container.spec.host.restart_policy,
        exit_code=ended.code,
        restart_count=instance.restart_count,
        stopped_by_user=instance.stopped_by_user,
    )
    container.delay_s = policy.next_delay(container.delay_s, ran_s) if again else 0.0
    container.wake_restart.clear()
    await _free(context, container, handle)
    container.move(Status.RESTARTING if again else Status.EXITED)
    container.changed()
    context.store.save(container)
    if is_news:
        context.publish(container, "oom")
    context.publish(container, "die", exitCode=str(ended.code), execDuration=str(int(ran_s)))
    for point in container.spec.mounts:
        if point.kind is MountKind.VOLUME:
            context.volumes.unmounted(point.volume, container.id)
    container.notify_ended()


async def _free(context: Context, container: Container, handle: TaskHandle | None) -> None:
    steps = [context.networks.release(container.id)]
    if handle is not None:
        steps.append(handle.delete())
    for result in await asyncio.gather(*steps, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("cleaning up after container %s: %s", container.id, result)


async def restart_later(context: Context, container: Container) -> None:
    """Start the container again after its back-off, unless somebody stops or removes it."""
    try:
        async with asyncio.timeout(container.delay_s):
            await container.wake_restart.wait()
    except TimeoutError:
        pass
    async with container.lock:
        if container.status is not Status.RESTARTING:
            return
        container.instance.restart_count += 1
        try:
            await launch_supervised(context, container)
        except TiffinError as error:
            log.error("restarting container %s: %s", container.id, error)
            container.notify_ended()


async def auto_remove(context: Context, container: Container) -> None:
    """Remove a `--rm` container and its anonymous volumes."""
    try:
        await removal.remove(context, container, force=True, volumes=True)
    except (NotFound, Conflict):
        pass  # somebody else is removing it
    except TiffinError as error:
        log.error("removing container %s: %s", container.id, error)
