"""What the daemon does about containers when it starts: adopt, conclude, clean up, restart."""

import asyncio
import logging
import os
import re
from collections.abc import Iterable

from tiffin.engine.bundle.mount_point import MountKind
from tiffin.engine.containers import links, policy, supervise
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.files import make_directory
from tiffin.engine.containers.model import Container, now_ns
from tiffin.engine.containers.rootfs import view_key
from tiffin.engine.containers.start import start
from tiffin.engine.containers.status import ALIVE, Status
from tiffin.engine.tasks.contract import Exit
from tiffin.errors import NotFound, TiffinError
from tiffin.fs.rooted import remove_tree
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.linux.cgroups.layout import detect
from tiffin.spec.ids import ContainerId, is_id

log = logging.getLogger(__name__)

LOST_EXIT_CODE = 255
"""What a container counts as that ended with the machine."""

_SNAPSHOT_KEY = re.compile(r"([0-9a-f]{64})(?:-image-\d+)?")


async def recover(context: Context) -> None:
    """Bring records and reality together; running containers never notice."""
    for container in await asyncio.to_thread(lambda: list(context.store.load())):
        context.registry.reserve(container.name, container.id)
        context.registry.add(container)
    for container in context.registry:
        for alias, child in container.spec.links.items():
            links.register(context.registry, container.name, alias, child)
    await asyncio.to_thread(_restore_files, context)
    for container in context.registry:
        await _hold_volumes(context, container)
    for container in context.registry:
        try:
            await _reconcile(context, container)
        except TiffinError as error:
            log.error("recovering container %s: %s", container.id, error)
    await _remove_orphans(context)
    await context.networks.retain([item.id for item in context.registry if item.alive])


def snapshot_keys(context: Context) -> list[str]:
    """Return the keys of the snapshots of all stored containers. Blocking."""
    keys: list[str] = []
    for container in (*context.store.load(), *context.store.retired_containers()):
        keys.append(container.id)
        keys += [view_key(container.id, index) for index in range(len(container.spec.mounts))]
    return keys


def _restore_files(context: Context) -> None:
    """Give containers anew what a power cut took before it had reached the disk. Blocking."""
    for container in context.registry:
        make_directory(context.roots, container.id)
        try:
            context.snapshotter.stat(container.id)
        except NotFound:
            try:
                context.snapshotter.prepare(container.id, container.spec.chain_id)
                log.warning("container %s: its files were lost; it begins anew", container.id)
            except NotFound as error:
                log.error("container %s: %s", container.id, error)


async def _hold_volumes(context: Context, container: Container) -> None:
    for point in container.spec.mounts:
        if point.kind is MountKind.VOLUME:
            try:
                await context.volumes.acquire(point.volume, container.id)
            except NotFound as error:
                log.warning("container %s: %s", container.id, error)


async def _reconcile(context: Context, container: Container) -> None:
    found = await context.tasks.recover(container.id)
    instance = container.instance
    async with container.lock:
        if found is None or isinstance(found, Exit):
            if found is None and instance.status not in ALIVE:
                return
            if isinstance(found, Exit) and instance.finished_ns == found.finished_ns:
                return  # known already
            instance.started_ns = instance.started_ns or instance.finished_ns or now_ns()
            if instance.status not in ALIVE:
                instance.status = Status.RUNNING
            await supervise.conclude(
                context, container, found or Exit(LOST_EXIT_CODE, now_ns(), error="")
            )
            return
        if not found.started_ns:
            # Killed between the two steps of a start: the client never heard of success.
            await found.delete()
            if instance.status in ALIVE:
                instance.status = Status.EXITED if instance.finished_ns else Status.CREATED
            return
        container.handle = found
        instance.pid, instance.started_ns = found.pid, found.started_ns
        # A daemon may have died between a pause (as of a commit) and the record of it.
        is_paused = await asyncio.to_thread(found.stands_paused)
        instance.status = Status.PAUSED if is_paused else Status.RUNNING
        context.store.save(container)
        supervise.follow(context, container, found)


async def resume(context: Context) -> None:
    """Start what its policy wants started, and remove what `--rm` wants gone.

    Done after everything else has recovered, since it needs networks and the API's DNS.
    """
    for container in context.registry:
        host, instance = container.spec.host, container.instance
        if container.status is Status.RESTARTING:
            container.supervisor = asyncio.create_task(supervise.restart_later(context, container))
        elif container.status is Status.EXITED and policy.should_restart(
            host.restart_policy,
            exit_code=instance.exit_code,
            restart_count=instance.restart_count,
            stopped_by_user=instance.stopped_by_user,
            daemon_started=True,
        ):
            container.supervisor = asyncio.create_task(_start(context, container))
        elif host.auto_remove and container.status is Status.EXITED:
            container.supervisor = asyncio.create_task(supervise.auto_remove(context, container))


async def _start(context: Context, container: Container) -> None:
    try:
        await start(context, container)
    except TiffinError as error:
        log.error("starting container %s: %s", container.id, error)


async def _remove_orphans(context: Context) -> None:
    for identifier in await asyncio.to_thread(_task_ids, context):
        if identifier not in context.registry:
            found = await context.tasks.recover(ContainerId(identifier))
            if found is not None and not isinstance(found, Exit):
                await found.delete()
            await asyncio.to_thread(remove_tree, context.roots.task(identifier))
    running = {item.id for item in context.registry if item.alive}
    await asyncio.to_thread(remove_orphaned_files, context)
    await asyncio.to_thread(remove_orphaned_cgroups, context.roots.tag, running)


def _task_ids(context: Context) -> list[str]:
    try:
        return [name for name in os.listdir(context.roots.tasks) if is_id(name)]
    except FileNotFoundError:
        return []


def remove_orphaned_files(context: Context) -> None:
    """Remove snapshots and directories of containers that do not exist. Blocking."""
    known = {*(item.id for item in context.registry)}
    known.update(item.id for item in context.store.retired_containers())
    for info in list(context.snapshotter.walk()):
        match = _SNAPSHOT_KEY.fullmatch(info.name)
        if match and match[1] not in known:
            try:
                context.snapshotter.remove(info.name)
            except TiffinError as error:
                log.warning("removing the orphaned snapshot %s: %s", info.name, error)
    parent = context.roots.container("x").parent
    try:
        names = os.listdir(parent)
    except FileNotFoundError:
        return
    for name in names:
        if is_id(name) and name not in known:
            remove_tree(parent / name)


def remove_orphaned_cgroups(tag: str, running: Iterable[str]) -> None:
    """Remove this daemon's groups of containers that do not run. Blocking."""
    kept = set(running)
    layout = detect()
    names: set[str] = set()
    for root in {*layout.v1.values(), layout.unified} - {""}:
        try:
            names.update(name for name in os.listdir(f"{root}/{tag}") if is_id(name))
        except OSError:
            continue
    for name in sorted(names - kept):
        group = open_group(f"/{tag}/{name}", layout)
        try:
            group.kill()
            group.remove()
        except OSError as error:
            log.warning("removing the orphaned cgroup %s: %s", name, error)
