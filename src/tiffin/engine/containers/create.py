"""Create a container."""

import asyncio
import os
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext

from tiffin.api.types.containers import Config, CreateRequest, CreateResponse
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.networks import NetworkingConfig
from tiffin.engine.bundle import capabilities
from tiffin.engine.bundle.mount_point import MountPoint
from tiffin.engine.bundle.namespaces import shared_with
from tiffin.engine.bundle.storage_options import layer_size
from tiffin.engine.bundle.user_namespaces import user_namespace_mode
from tiffin.engine.containers import mount_points
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.files import make_directory
from tiffin.engine.containers.host_settings import check_settings, complete
from tiffin.engine.containers.links import register, take_links
from tiffin.engine.containers.merge import merge, plain_config
from tiffin.engine.containers.model import Container, ContainerSpec, now_ns
from tiffin.engine.containers.names import check_name, make_name
from tiffin.engine.containers.words import check_network_words, check_strings
from tiffin.engine.networks.wishes import canonical_mac
from tiffin.errors import InvalidArgument, NotFound
from tiffin.fs.rooted import remove_tree
from tiffin.images.image import Image
from tiffin.spec.id_mapping import IdMappings
from tiffin.spec.ids import ContainerId, new_id, short
from tiffin.spec.mount import Mount
from tiffin.spec.platform import host_platform, matches, parse_platform


async def create(
    context: Context, request: CreateRequest, name: str = "", platform: str = ""
) -> CreateResponse:
    """Make a container that can be started; nothing is left if that fails.

    InvalidArgument for what cannot be meant, NotFound for image, network container or volume
    driver, Conflict for the name.
    """
    if name:
        name = check_name(name)
    config = plain_config(request)
    host = request.host_config or HostConfig()
    warnings = check_settings(config, host, context.support)
    capabilities.check_available(host.cap_add or (), context.settings.capabilities)
    check_network_words(config, host, request.networking_config)
    if request.networking_config is not None:
        _check_endpoints(request.networking_config)
    image = await _image(context, config.image, platform, warnings)
    config = merge(config, image.config.config)
    host.runtime = host.runtime or context.runtimes.default
    context.runtimes.find(host.runtime)
    check_strings(config)
    layer_size(host)
    complete(host, context.settings, context.registry, context.support)
    linked = take_links(host, context.registry)
    container = await _build(context, config, host, image, request, name, linked)
    context.publish(container, "create")
    return CreateResponse(id=container.id, warnings=warnings)


def _check_endpoints(wanted: NetworkingConfig) -> None:
    for settings in (wanted.endpoints_config or {}).values():
        if settings is not None:
            canonical_mac(settings.mac_address)


async def _image(context: Context, reference: str, platform: str, warnings: list[str]) -> Image:
    if not reference:
        raise InvalidArgument("config cannot be empty in order to create a container")
    if platform:
        return await context.images.get(reference, parse_platform(platform))
    image = await context.images.get(reference)
    offered = image.config.platform
    if offered.architecture and not matches(host_platform(), offered):
        warnings.append(
            f"The requested image's platform ({offered}) does not match the detected host platform"
            f" ({host_platform()}) and no specific platform was requested"
        )
    return image


async def _build(
    context: Context,
    config: Config,
    host: HostConfig,
    image: Image,
    request: CreateRequest,
    name: str,
    linked: dict[str, ContainerId],
) -> Container:
    registry = context.registry
    identifier = ContainerId(new_id())
    points = mount_points.plan_mounts(config, host, registry, str(context.roots.data))
    config.hostname = config.hostname or _default_hostname(context, host, identifier)
    async with AsyncExitStack() as undo:
        name = name or make_name(registry.has_name)
        registry.reserve(name, identifier)
        undo.callback(registry.release, name)
        undo.push_async_callback(asyncio.to_thread, _discard, context, identifier)
        ids = undo.enter_context(_own_ids(context, host))
        rootfs = await asyncio.to_thread(_prepare, context, identifier, host, image, tuple(points))
        mounts = await mount_points.create_volumes(context, identifier, points, rootfs, undo)
        networking = request.networking_config
        spec = ContainerSpec(
            id=identifier,
            created_ns=now_ns(),
            image_id=image.id,
            chain_id=image.chain_id,
            platform=image.config.os or "linux",
            config=config,
            host=host,
            mounts=mounts,
            endpoints=dict(networking.endpoints_config) if networking else {},
            id_mappings=ids,
            links=linked,
        )
        container = Container(spec, name)
        await context.store.saved(container, durable=True)
        registry.add(container)
        for alias, child in linked.items():
            register(registry, name, alias, child)
        undo.pop_all()
    return container


def _own_ids(context: Context, host: HostConfig) -> AbstractContextManager[IdMappings]:
    mode = user_namespace_mode(host)
    if not mode.is_own:
        return nullcontext(IdMappings())
    taken = [context.settings.id_mappings, *(item.spec.id_mappings for item in context.registry)]
    return context.id_ranges.promise(mode, taken)


def _default_hostname(context: Context, host: HostConfig, identifier: ContainerId) -> str:
    if "host" in (host.uts_mode, host.network_mode):
        return os.uname().nodename
    other = context.registry.get(shared_with(host.network_mode))
    return other.spec.config.hostname if other is not None else short(identifier)


def _prepare(
    context: Context,
    identifier: ContainerId,
    host: HostConfig,
    image: Image,
    points: tuple[MountPoint, ...],
) -> tuple[Mount, ...]:
    mount_points.check_sources(points)
    make_directory(context.roots, identifier)
    with context.images.hold(image):  # until the container's own snapshot does
        mounts = context.snapshotter.prepare(identifier, image.chain_id)
    if size := layer_size(host):
        from tiffin.engine.containers.layer_limit import limit_layer  # rarely needed

        limit_layer(context.snapshotter, identifier, size)
    return mounts


def _discard(context: Context, identifier: ContainerId) -> None:
    remove_tree(context.roots.container(identifier))
    try:
        context.snapshotter.remove(identifier)
    except NotFound:
        return
