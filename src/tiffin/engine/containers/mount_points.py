"""From the words of a create request to the list of a container's mount points."""

import os
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig
from tiffin.engine.bundle.mount_point import MountKind, MountPoint
from tiffin.engine.bundle.mount_requests import parse_mount, parse_tmpfs
from tiffin.engine.bundle.mount_words import (
    PROPAGATIONS,
    clean_target,
    parse_bind,
    parse_volumes_from,
)
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.registry import Registry
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.spec.ids import new_id
from tiffin.spec.mount import Mount

ANONYMOUS_LABEL = "com.docker.volume.anonymous"


def plan_mounts(
    config: Config, host: HostConfig, registry: Registry, daemon_root: str
) -> list[MountPoint]:
    """Return the mount points in order of precedence, volumes not created yet.

    InvalidArgument for bad words and for two mounts at one place.
    """
    explicit: dict[str, MountPoint] = {}
    for point in _explicit(host, daemon_root):
        if point.target in explicit:
            raise InvalidArgument(f"Duplicate mount point: {point.target}")
        explicit[point.target] = point
    inherited = {point.target: point for point in _inherited(host, registry)}
    points = {**inherited, **explicit}
    for path in config.volumes or {}:
        try:
            target = clean_target(path)
        except InvalidArgument as error:
            raise InvalidArgument(
                f"invalid volume specification: '{path}': invalid mount config for type \"volume\":"
                f" {error.message}"
            ) from error
        if target not in points:
            points[target] = MountPoint(
                MountKind.VOLUME, target, driver=host.volume_driver or "local", anonymous=True
            )
    return list(points.values())


def _explicit(host: HostConfig, daemon_root: str) -> Iterable[MountPoint]:
    for text in host.binds or ():
        point = parse_bind(text, host.volume_driver)
        given = PROPAGATIONS.intersection(point.mode.split(","))
        yield _slave(point, "".join(given), daemon_root)
    for request in host.mounts or ():
        bind = request.bind_options
        yield _slave(parse_mount(request), bind.propagation if bind else "", daemon_root)
    for target, options in (host.tmpfs or {}).items():
        yield parse_tmpfs(target, options)


def _slave(point: MountPoint, given: str, daemon_root: str) -> MountPoint:
    """Let a bind of the daemon's own files, or of what holds them, follow the host's mounts.

    Otherwise the container would keep alive what the host unmounts there. InvalidArgument if
    another propagation is `given`.
    """
    source = point.source
    if point.kind is not MountKind.BIND or not (
        source.startswith(daemon_root) or daemon_root.startswith(source)
    ):
        return point
    if given not in ("", "rslave", "rshared"):
        raise InvalidArgument(
            'invalid mount config: must use either propagation mode "rslave" or "rshared" when'
            f' mount source is within the daemon root, daemon root: "{daemon_root}", bind mount'
            f' source: "{source}", propagation: "{given}"'
        )
    return point if given else replace(point, propagation="rslave")


def _inherited(host: HostConfig, registry: Registry) -> Iterable[MountPoint]:
    for text in host.volumes_from or ():
        reference, mode = parse_volumes_from(text)
        try:
            other = registry.find(reference)
        except NotFound as error:  # not an image that is missing, as a 404 would say
            raise InvalidArgument(error.message) from error
        for point in other.spec.mounts:
            if point.kind is not MountKind.TMPFS:
                yield replace(
                    point,
                    inherited=True,
                    copy_up=False,
                    read_only=point.read_only or "ro" in mode.split(","),
                )


def check_sources(points: Iterable[MountPoint]) -> None:
    """Raise InvalidArgument for a `--mount type=bind` whose source does not exist. Blocking."""
    for point in points:
        is_checked = point.kind is MountKind.BIND and not (point.create_source or point.inherited)
        if is_checked and not os.path.lexists(point.source):
            raise InvalidArgument(
                'invalid mount config for type "bind": bind source path does not exist: '
                f"{point.source}"
            )


def create_sources(points: Iterable[MountPoint]) -> None:
    """Create the missing sources of `-v` binds, as Docker does. Blocking."""
    for point in points:
        is_made = point.kind is MountKind.BIND and point.create_source
        if is_made and not os.path.lexists(point.source):
            Path(point.source).mkdir(mode=0o755, parents=True, exist_ok=True)


async def create_volumes(
    context: Context,
    container_id: str,
    points: Iterable[MountPoint],
    rootfs: tuple[Mount, ...],
    undo: AsyncExitStack,
) -> tuple[MountPoint, ...]:
    """Create, acquire and fill the volumes among `points`; return the points with their names.

    `undo` gets what takes new anonymous volumes away again.
    """
    out = []
    undo.push_async_callback(context.volumes.release, container_id)
    for point in points:
        if point.kind is MountKind.VOLUME:
            point = await _create_volume(context, container_id, point, rootfs, undo)
        elif point.kind is MountKind.IMAGE:
            await context.images.get(point.source)
        out.append(point)
    return tuple(out)


async def _create_volume(
    context: Context,
    container_id: str,
    point: MountPoint,
    rootfs: tuple[Mount, ...],
    undo: AsyncExitStack,
) -> MountPoint:
    name, labels = point.volume, point.labels
    if not name:
        name, labels = new_id(), {**labels, ANONYMOUS_LABEL: ""}
    await context.volumes.create(name, point.driver, point.driver_options, labels)
    if point.anonymous and not point.inherited:
        undo.push_async_callback(_forget_volume, context, name)
    volume = await context.volumes.acquire(name, container_id)
    undo.push_async_callback(context.volumes.release, container_id)
    if point.copy_up and not point.subpath:
        await context.volumes.populate(name, rootfs, point.target)
    return replace(point, volume=name, source=volume.source, driver=volume.driver)


async def _forget_volume(context: Context, name: str) -> None:
    try:
        await context.volumes.remove(name, force=True)
    except (NotFound, Conflict):
        return
