"""Everything about one container, as `GET /containers/{id}/json` shows it."""

import asyncio

import msgspec

from tiffin.api.types.containers import ContainerInspect, GraphDriver, State
from tiffin.engine.bundle.environment import command_line
from tiffin.engine.bundle.mount_point import MountKind
from tiffin.engine.bundle.namespaces import shared_with
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.files import etc_files
from tiffin.engine.containers.links import shown_host_config
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.engine.containers.times import rfc3339
from tiffin.errors import NotFound
from tiffin.logs.select import DEFAULT_DRIVER, log_file


async def inspect(
    context: Context, container: Container, *, size: bool = False
) -> ContainerInspect:
    """Describe the container; with `size` its disk use, too."""
    spec, instance = container.spec, container.instance
    files = etc_files(context.roots, container.id)
    directory = context.roots.container(container.id)
    # The path of `local` is not told, as its format is nobody's business.
    is_public = spec.host.log_config.type == DEFAULT_DRIVER
    log = log_file(DEFAULT_DRIVER, directory / "log") if is_public else None
    arguments = command_line(spec.config)
    shown = ContainerInspect(
        id=container.id,
        created=rfc3339(spec.created_ns),
        path=arguments[0] if arguments else "",
        args=arguments[1:],
        state=state_of(container),
        image=spec.image_id,
        resolv_conf_path=str(files.resolv_conf) if instance.started_ns else "",
        hostname_path=str(files.hostname) if instance.started_ns else "",
        hosts_path=str(files.hosts) if instance.started_ns else "",
        log_path=str(log) if log is not None and instance.started_ns else "",
        name=f"/{container.name}",
        restart_count=instance.restart_count,
        driver=context.snapshotter.name,
        platform=spec.platform,
        exec_ids=[key for key, item in container.executions.items() if item.running] or None,
        host_config=shown_host_config(context, container),
        graph_driver=await asyncio.to_thread(_graph_driver, context, container),
        mounts=[point.to_wire() for point in spec.mounts if point.kind is not MountKind.TMPFS],
        config=spec.config,
        network_settings=await context.networks.settings(container.networks()),
    )
    if instance.pid and not shared_with(spec.host.network_mode):
        shown.network_settings.sandbox_key = f"/proc/{instance.pid}/ns/net"
    if size:
        shown.size_rw, shown.size_root_fs = await asyncio.to_thread(sizes, context, container)
    return shown


def state_of(container: Container) -> State:
    """Return the `State` member."""
    instance = container.instance
    return State(
        status=instance.status,
        running=container.up,
        paused=instance.status is Status.PAUSED,
        restarting=instance.status is Status.RESTARTING,
        oom_killed=instance.oom_killed,
        dead=instance.status is Status.DEAD,
        pid=instance.pid,
        exit_code=instance.exit_code,
        error=instance.error,
        started_at=rfc3339(instance.started_ns),
        finished_at=rfc3339(instance.finished_ns),
        health=msgspec.structs.replace(container.health) if container.health else None,
    )


def _graph_driver(context: Context, container: Container) -> GraphDriver:
    name = context.snapshotter.name
    try:
        mounts = context.snapshotter.mounts(container.id)
    except NotFound:
        return GraphDriver(name=name)
    data = {}
    for option in mounts[0].options if mounts else ():
        key, _, value = option.partition("=")
        if key in ("lowerdir", "upperdir", "workdir"):
            data[f"{key[:-3].capitalize()}Dir"] = value
    return GraphDriver(name=name, data=data or None)


def sizes(context: Context, container: Container) -> tuple[int, int]:
    """Return bytes of the container's own layer, and of all layers together. Blocking."""
    snapshotter = context.snapshotter
    own = snapshotter.usage(container.id).size
    total, name = own, snapshotter.stat(container.id).parent
    while name:
        total += snapshotter.usage(name).size
        name = snapshotter.stat(name).parent
    return own, total
