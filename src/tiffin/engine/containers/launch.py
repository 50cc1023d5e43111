"""Everything between "start it" and the user's program: network, files, bundle, task."""

import asyncio
import logging
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import msgspec

from tiffin.engine.bundle.build import BundleRequest, build_bundle
from tiffin.engine.bundle.environment import command_line
from tiffin.engine.bundle.mount_point import MountKind, MountPoint
from tiffin.engine.bundle.mounts import EtcFiles, ResolvedMount
from tiffin.engine.bundle.namespaces import cgroups_path, shared_with
from tiffin.engine.bundle.users import Account, resolve_user
from tiffin.engine.containers.context import Context, Explain, silent
from tiffin.engine.containers.files import etc_files, write_files
from tiffin.engine.containers.links import announce, link_environment
from tiffin.engine.containers.model import Container, now_ns
from tiffin.engine.containers.mount_points import create_sources
from tiffin.engine.containers.namespaces import Joined, join_namespaces, joined_by_others
from tiffin.engine.containers.rootfs import read_lines, stopped_view, view_key
from tiffin.engine.containers.status import Status
from tiffin.engine.containers.times import rfc3339
from tiffin.engine.networks.contract import Allocation
from tiffin.engine.runtimes import wrap_in_init
from tiffin.engine.tasks.contract import LogTarget, TaskHandle, TaskRequest
from tiffin.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    TiffinError,
)
from tiffin.fs.rooted import Root
from tiffin.logs.attributes import LogSubject, attributes, log_source
from tiffin.logs.select import cannot_start, is_remote
from tiffin.spec.ids import ContainerId
from tiffin.spec.mount import Mount

log = logging.getLogger(__name__)

_NOT_FOUND = ("executable file not found", "no such file or directory")
_NOT_EXECUTABLE = ("permission denied", "is a directory", "exec format error")


async def launch(context: Context, container: Container, explain: Explain = silent) -> TaskHandle:
    """Run the container's program; the caller holds the lock.

    If that fails, nothing is left of it and the container says why (`State.Error`, exit code).
    """
    try:
        handle = await _launch(context, container, explain)
    except (TiffinError, OSError) as error:
        _failed(context, container, str(error))
        if isinstance(error, OSError):
            raise FailedPrecondition(
                f"failed to start container {container.id}: {error}"
            ) from error
        raise
    instance = container.instance
    container.move(Status.RUNNING)
    instance.pid, instance.exit_code, instance.error = handle.pid, 0, ""
    instance.oom_killed = False
    instance.started_ns = handle.started_ns or now_ns()
    container.handle = handle
    for warning in handle.warnings:
        log.warning("container %s: %s", container.id, warning)
    container.changed()
    context.store.save(container)
    for point in container.spec.mounts:
        if point.kind is MountKind.VOLUME:
            context.volumes.mounted(
                point.volume, container.id, point.target,
                read_only=point.read_only, propagation=point.propagation,
            )  # fmt: skip
    if context.registry.link_names(container.id):
        await announce(context, container)
    context.publish(container, "start")
    return handle


async def _launch(context: Context, container: Container, explain: Explain) -> TaskHandle:
    attachments, container.pending = container.pending, []
    async with AsyncExitStack() as undo:
        clients = undo.enter_context(ExitStack())
        for attachment in attachments:
            clients.callback(os.close, attachment.fd)
        binary = context.runtimes.find(container.spec.host.runtime)
        joined = join_namespaces(context, container)
        if binary is not None:
            joined = joined_by_others(joined, container.spec.host.runtime)
        linked = await link_environment(context, container)
        allocation = await context.networks.allocate(container.networks())
        undo.push_async_callback(context.networks.release, container.id)
        sockets = undo.enter_context(ExitStack())
        sockets.callback(allocation.close)
        explain("allocate network", _describe_network(allocation))
        resolved = await resolve_mounts(context, container)
        bundle = await asyncio.to_thread(
            _write_bundle, context, container, allocation, resolved, joined, linked
        )
        explain("write bundle", f"write({bundle / 'config.json'})")
        host, config = container.spec.host, container.spec.config
        handle = await context.tasks.create(
            TaskRequest(
                id=container.id,
                bundle=bundle,
                log=_log_target(context, container),
                terminal=config.tty,
                rows=host.console_size[0],
                columns=host.console_size[1],
                open_stdin=config.open_stdin,
                stdin_once=config.stdin_once,
                init_process=_wants_init(context, container) and binary is None,
                new_network=allocation.new_netns,
                dns=allocation.dns,
                cgroup=cgroups_path(container.id, context.roots.tag, host.cgroup_parent),
                attachments=attachments,
                runtime=binary,
                explain=None if explain is silent else lambda line: _pass_on(line, explain),
            )
        )
        undo.push_async_callback(handle.delete)
        if allocation.new_netns and handle.sandbox is not None:
            await context.networks.plug(allocation, handle.sandbox)
            explain("plug network", _describe_network(allocation))
        await handle.start(allocation.forwards)
        explain("start program", f"execve in process {handle.pid}")
        sockets.close()
        clients.close()
        undo.pop_all()
    return handle


def _wants_init(context: Context, container: Container) -> bool:
    host = container.spec.host
    return bool(context.settings.init if host.init is None else host.init)


def _pass_on(line: str, explain: Explain) -> None:
    """Report a step of the runtime, which tells it as JSON."""
    told = msgspec.json.decode(line, type=dict[str, str])
    explain(told.get("step", ""), told.get("call", ""))


def _log_target(context: Context, container: Container) -> LogTarget:
    spec, settings = container.spec, container.spec.host.log_config
    options = settings.config or {}
    command = command_line(spec.config)
    subject = LogSubject(
        id=spec.id,
        name=container.name,
        image_id=spec.image_id,
        image_name=spec.config.image,
        entrypoint=command[0] if command else "",
        args=tuple(command[1:]),
        created=rfc3339(spec.created_ns),
        labels=spec.config.labels or {},
        env=tuple(spec.config.env or ()),
    )
    directory = context.roots.container(spec.id) / "log"
    try:
        kept = attributes(options, subject)
        source = log_source(options, subject) if is_remote(settings.type) else {}
    except InvalidArgument as error:
        raise cannot_start(str(error)) from error
    return LogTarget(settings.type, directory, options, kept, source)


def _describe_network(allocation: Allocation) -> str:
    names = [
        f"{endpoint.interface_name}@{network.name} "
        + ",".join(str(address) for address in endpoint.addresses)
        for network, endpoint in allocation.endpoints
    ]
    return "; ".join(names) or ("new namespace" if allocation.new_netns else "shared namespace")


def _failed(context: Context, container: Container, message: str) -> None:
    instance = container.instance
    text = message.lower()
    instance.exit_code = 128
    if any(phrase in text for phrase in _NOT_EXECUTABLE):
        instance.exit_code = 126
    elif any(phrase in text for phrase in _NOT_FOUND):
        instance.exit_code = 127
    instance.error, instance.pid = message, 0
    if instance.status is Status.RESTARTING:
        container.move(Status.EXITED)
    context.store.save(container)


async def resolve_mounts(context: Context, container: Container) -> tuple[ResolvedMount, ...]:
    """Return the container's mount points with the kernel mounts that serve them."""
    out = []
    for index, point in enumerate(container.spec.mounts):
        mounts: tuple[Mount, ...] = ()
        if point.kind is MountKind.VOLUME:
            volume = await context.volumes.acquire(point.volume, container.id)
            mounts = volume.mounts
        elif point.kind is MountKind.IMAGE:
            image = await context.images.get(point.source)
            key = view_key(container.id, index)
            mounts = await asyncio.to_thread(_view, context, key, image.chain_id)
        if point.subpath:
            mounts = await asyncio.to_thread(_below, point, mounts)
        out.append(ResolvedMount(point, mounts))
    return tuple(out)


def _view(context: Context, key: str, chain_id: str) -> tuple[Mount, ...]:
    try:
        return context.snapshotter.mounts(key)
    except NotFound:
        return context.snapshotter.view(key, chain_id)


def _below(point: MountPoint, mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """Narrow a volume's bind to a path in it, which is resolved within the volume at the mount."""
    if len(mounts) != 1 or not {"bind", "rbind"} & {mounts[0].fstype, *mounts[0].options}:
        raise FailedPrecondition(f"subpath of {point.target} needs a volume that is a directory")
    try:
        with Root.at(mounts[0].source) as root:
            os.close(root.open(point.subpath, os.O_PATH | os.O_CLOEXEC))
    except OSError as error:
        raise FailedPrecondition(
            f"cannot access path {point.subpath} in {point.volume or point.source}: "
            f"{os.strerror(error.errno or 0).lower()}"
        ) from error
    options = (*mounts[0].options, f"x-subpath={point.subpath}")
    return (Mount(mounts[0].fstype, mounts[0].source, options, mounts[0].target),)


def _write_bundle(
    context: Context,
    container: Container,
    allocation: Allocation,
    resolved: tuple[ResolvedMount, ...],
    joined: Joined,
    linked: Sequence[str],
) -> Path:
    spec = container.spec
    environment = [*linked, *(spec.config.env or ())]
    try:
        create_sources(spec.mounts)
        files = _files(context, container, allocation)
        rootfs = context.snapshotter.mounts(spec.id)
        config = build_bundle(
            BundleRequest(
                id=spec.id,
                tag=context.roots.tag,
                rootfs=rootfs,
                config=msgspec.structs.replace(spec.config, env=environment),
                host=spec.host,
                account=find_account(context, container),
                hostname=allocation.hostname,
                domainname=spec.config.domainname,
                files=files,
                mounts=resolved,
                joined=joined.paths,
                ids=joined.ids,
                shm=joined.shm,
                security_defaults=context.settings.security_options,
            )
        )
        if spec.host.device_requests:
            from tiffin.engine.cdi.requests import inject  # few containers ask for devices

            inject(config, spec.host.device_requests, context.settings.cdi_directories)
        if context.runtimes.find(spec.host.runtime) and _wants_init(context, container):
            wrap_in_init(config, context.runtimes.init())
        return write_bundle(context, spec.id, config)
    except OSError as error:
        raise FailedPrecondition(f"failed to prepare container {spec.id}: {error}") from error


def _files(context: Context, container: Container, allocation: Allocation) -> EtcFiles:
    owner = container
    while other := shared_with(owner.spec.host.network_mode):
        owner = context.registry.find(other)
    files = etc_files(context.roots, owner.id)
    if owner is container:
        write_files(files, allocation)
    return files


def find_account(context: Context, container: Container) -> Account:
    """Look the user up in the container's own passwd and group files. Blocking."""
    spec = container.spec
    rootfs = stopped_view(context.snapshotter.mounts(spec.id))
    with Root(context.open_mounts(rootfs)) as root:
        groups = tuple(spec.host.group_add or ())
        return resolve_user(spec.config.user, groups, lambda path: read_lines(root, path))


def write_bundle(context: Context, identifier: ContainerId, config: dict[str, Any]) -> Path:
    """Write `config.json` into the task's directory and return that."""
    bundle = context.roots.task(identifier)
    bundle.mkdir(parents=True, exist_ok=True, mode=0o700)
    (bundle / "config.json").write_bytes(msgspec.json.encode(config))
    return bundle
