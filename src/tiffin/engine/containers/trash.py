"""Pruned containers, as the trash brings them back or destroys them."""

import asyncio

from tiffin.engine.bundle.mount_point import MountKind
from tiffin.engine.containers import links
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.remove import collect_image, remove_files
from tiffin.engine.containers.status import Status
from tiffin.errors import Conflict, NotFound
from tiffin.state.containers import retired_container
from tiffin.state.retired import Retired


async def restore(context: Context, item: Retired) -> None:
    """Bring one back, stopped; Conflict if its name is taken, NotFound if its files are lost."""
    registry, name = context.registry, retired_container(item).name
    if registry.has_name(name):
        raise Conflict(
            f'the container name "/{name}" is in use by another container: rename that one first'
        )
    await asyncio.to_thread(context.snapshotter.stat, item.id)
    registry.reserve(name, item.id)
    try:
        container = await context.store.restored(item)
    except BaseException:
        registry.release(name)
        raise
    ended = bool(container.instance.finished_ns)
    container.instance.status = Status.EXITED if ended else Status.CREATED
    registry.add(container)
    context.store.save(container)
    for alias, child in container.spec.links.items():
        links.register(registry, container.name, alias, child)
    for point in container.spec.mounts:
        if point.kind is MountKind.VOLUME:
            try:
                await context.volumes.acquire(point.volume, container.id)
            except NotFound:
                pass  # its start says so
    context.publish(container, "create")


async def destroy(context: Context, item: Retired) -> int:
    """Drop one for good; return the bytes freed."""
    container = await asyncio.to_thread(context.store.forget_retired, item)
    await asyncio.to_thread(remove_files, context, container)
    await context.networks.forget(container.id)
    await collect_image(context, container)
    return item.size
