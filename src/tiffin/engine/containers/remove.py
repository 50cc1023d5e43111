"""Remove a container."""

import asyncio
import errno
import logging
import os
from contextlib import suppress
from dataclasses import dataclass

from tiffin.engine.bundle.mount_point import MountKind
from tiffin.engine.containers import links
from tiffin.engine.containers import stop as stopping
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.rootfs import view_key
from tiffin.engine.containers.status import Status
from tiffin.errors import Conflict, NotFound, TiffinError
from tiffin.fs.rooted import remove_tree

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retirement:
    """The operation of the trash that a container goes to, and its size in bytes."""

    operation: int
    size: int


async def remove(
    context: Context,
    container: Container,
    *,
    force: bool = False,
    volumes: bool = False,
    retirement: Retirement | None = None,
) -> None:
    """Remove the container, with its anonymous volumes if `volumes`.

    With a retirement its record goes to the trash, and its files stay where they are. Conflict if
    it runs and `force` is not given, or if it is being removed already.
    """
    await _bring_down(context, container, force=force)
    while not await _claim(container):
        # Somebody has started it meanwhile.
        await _bring_down(context, container, force=force)
    try:
        # The record goes first: what remains after a crash is then an orphan for recovery.
        if retirement is None:
            await _delete_record(context, container)
        else:
            await context.store.retired(container, retirement.operation, retirement.size)
    except BaseException:
        container.move(Status.DEAD)
        raise
    try:
        await links.forget(context, container)
        if retirement is None:
            await _clean_up(context, container, volumes=volumes)
        else:
            await _let_go(context, container)
    except OSError as error:
        log.error("removing container %s: %s; the next start will clean up", container.id, error)
    finally:
        context.registry.remove(container)
        context.publish(container, "destroy")
        container.notify_removed()


async def _delete_record(context: Context, container: Container) -> None:
    try:
        await context.store.deleted(container)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # Others may have taken what was kept for this: what is to be removed anyway gives space.
        await asyncio.to_thread(_make_room, context, container)
        await context.store.deleted(container)


def _make_room(context: Context, container: Container) -> None:
    remove_tree(context.roots.container(container.id) / "log")
    upper = context.snapshotter.upper(container.id)
    if upper is not None:
        for path in upper.iterdir():
            remove_tree(path)


async def _claim(container: Container) -> bool:
    """Note that the container is being removed, unless it is up; Conflict if it is already."""
    async with container.lock:
        if container.status is Status.REMOVING:
            raise _in_progress(container)
        if not container.up:
            container.move(Status.REMOVING)
        return not container.up


async def _bring_down(context: Context, container: Container, *, force: bool) -> None:
    if container.status is Status.REMOVING:
        raise _in_progress(container)
    if not container.up:
        return
    if not force:
        raise _still_up(container)
    container.stop_requested = True
    async with container.lock:
        if container.status is Status.RESTARTING:
            stopping.cancel_restart(context, container)
    if container.alive:
        await stopping.kill_and_wait(context, container)


def _in_progress(container: Container) -> Conflict:
    return Conflict(f"removal of container {container.id} is already in progress")


def _still_up(container: Container) -> Conflict:
    if container.status is Status.PAUSED:
        return Conflict(
            f'cannot remove container "/{container.name}": container is paused and must be'
            " unpaused first"
        )
    return Conflict(
        f'cannot remove container "/{container.name}": container is {container.status}:'
        " stop the container before removing or force remove"
    )


async def _let_go(context: Context, container: Container) -> None:
    """Free what a container in the trash does not need."""
    _forget(context, container)
    await asyncio.to_thread(remove_tree, context.roots.task(container.id))
    await context.networks.release(container.id)
    await context.volumes.release(container.id)


def _forget(context: Context, container: Container) -> None:
    for attachment in container.pending:
        os.close(attachment.fd)
    container.pending.clear()
    context.executions.forget(container)


async def _clean_up(context: Context, container: Container, *, volumes: bool) -> None:
    _forget(context, container)
    await asyncio.to_thread(remove_files, context, container)
    await context.networks.forget(container.id)
    await context.volumes.release(container.id)
    if volumes:
        await _remove_anonymous(context, container)
    await collect_image(context, container)


async def collect_image(context: Context, container: Container) -> None:
    """Free the layers of an image that was removed while this container still stood on it."""
    if not container.spec.image_id:
        return
    try:
        await context.images.get(container.spec.image_id)
    except NotFound:
        await context.images.collect()


def remove_files(context: Context, container: Container) -> None:
    """Remove everything of a container on disk; what is gone already is fine. Blocking."""
    images = [
        view_key(container.id, index)
        for index, point in enumerate(container.spec.mounts)
        if point.kind is MountKind.IMAGE
    ]
    if container.spec.host.storage_opt:
        from tiffin.engine.containers.layer_limit import forget_limit  # rarely needed

        with suppress(NotFound):
            forget_limit(context.snapshotter, container.id)
    for key in (container.id, *images):
        try:
            context.snapshotter.remove(key)
        except NotFound:
            pass
    remove_tree(context.roots.container(container.id))
    remove_tree(context.roots.task(container.id))


async def _remove_anonymous(context: Context, container: Container) -> None:
    for point in container.spec.mounts:
        if point.kind is not MountKind.VOLUME or not point.anonymous:
            continue
        try:
            await context.volumes.remove(point.volume)
        except (NotFound, Conflict):
            pass  # removed by hand, or another container uses it
        except TiffinError as error:
            log.warning("removing volume %s: %s", point.volume, error)
