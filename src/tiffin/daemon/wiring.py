"""Puts the engine together: picks the technologies, makes the services, recovers them in order."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiffin import __version__
from tiffin.content.local import LocalContentStore
from tiffin.daemon.config import Config, ContainerDefaults
from tiffin.engine.build.service import Builds
from tiffin.engine.commit import Commits
from tiffin.engine.containers.context import Context as ContainerContext
from tiffin.engine.containers.context import Settings as ContainerSettings
from tiffin.engine.containers.listing import ListOptions
from tiffin.engine.containers.registry import Registry
from tiffin.engine.containers.service import Containers
from tiffin.engine.containers.store import Store
from tiffin.engine.events import Events
from tiffin.engine.host import filesystem_of, read_host
from tiffin.engine.images.access import RegistryAccess
from tiffin.engine.images.service import Images
from tiffin.engine.networks.options import NetworkOptions
from tiffin.engine.networks.service import Networks
from tiffin.engine.roots import Roots
from tiffin.engine.runtimes import Runtimes
from tiffin.engine.system import Counts, Nouns, System, SystemSettings
from tiffin.engine.tasks.service import Tasks
from tiffin.engine.trash.service import Limits, Trash
from tiffin.engine.volumes.service import Volumes
from tiffin.errors import InvalidArgument
from tiffin.fs import atomic
from tiffin.images.store import ImageStore
from tiffin.linux import capabilities
from tiffin.logs.options import REGISTERED as LOG_DRIVERS
from tiffin.registry.endpoints import RegistryOptions
from tiffin.registry.transport import Retry
from tiffin.server.routes import build as build_routes
from tiffin.server.routes import commit as commit_routes
from tiffin.server.routes import containers as container_routes
from tiffin.server.routes import distribution as distribution_routes
from tiffin.server.routes import events as event_routes
from tiffin.server.routes import exec as exec_routes
from tiffin.server.routes import images as image_routes
from tiffin.server.routes import networks as network_routes
from tiffin.server.routes import system as system_routes
from tiffin.server.routes import trash as trash_routes
from tiffin.server.routes import volumes as volume_routes
from tiffin.server.routing import Route
from tiffin.snapshots.native import NativeSnapshotter
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMappings
from tiffin.state.containers import ContainerRecords
from tiffin.state.database import Database
from tiffin.state.images import ImageRecords
from tiffin.state.retired import RetiredRecords
from tiffin.state.volumes import VolumeRows
from tiffin.volumes.local import LocalVolumes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine, as the daemon sees it."""

    routes: list[Route]
    reconfigure: Callable[[Config], None]


@contextlib.asynccontextmanager
async def running_engine(config: Config) -> AsyncIterator[Engine]:
    """Make all services, recover what an earlier daemon left, and let go at the end."""
    async with contextlib.AsyncExitStack() as stack:
        roots = config.roots
        database = Database(roots.database)
        stack.callback(database.close)
        events = Events()
        trash = Trash(RetiredRecords(database), roots.data, trash_limits(config))

        tasks = Tasks(roots)
        await tasks.start()
        stack.push_async_callback(tasks.close)
        snapshotter = make_snapshotter(config)
        stack.callback(snapshotter.close)
        image_store = ImageStore(
            LocalContentStore(roots.content), snapshotter, ImageRecords(database)
        )

        volumes = Volumes(VolumeRows(database), LocalVolumes(roots.volumes), events)
        volumes.bin = trash
        access = RegistryAccess(
            registry_options(config),
            f"tiffin/{__version__}",
            Retry(attempts=config.registry.attempts),
        )
        images = Images(
            image_store,
            events,
            access,
            bin=trash,
            max_downloads=config.registry.downloads,
            max_uploads=config.registry.uploads,
        )
        stack.callback(images.close)
        networks = Networks(roots, database, events, network_options(config))
        networks.bin = trash
        stack.push_async_callback(networks.close)
        host = read_host()
        defaults = config.containers
        runtimes = Runtimes(defaults.runtimes, defaults.runtime, defaults.init_path)
        id_mappings = await asyncio.to_thread(remapped_ids, config)
        containers = Containers(
            ContainerContext(
                roots=roots,
                registry=Registry(),
                store=Store(ContainerRecords(database)),
                tasks=tasks,
                images=images,
                networks=networks,
                volumes=volumes,
                snapshotter=snapshotter,
                events=events,
                settings=container_settings(config, id_mappings),
                runtimes=runtimes,
                support=host.support,
                bin=trash,
            )
        )
        stack.push_async_callback(containers.close)
        images.users = containers
        trash.serve(
            {
                "image": images.retired,
                "image-name": images.retired,
                "volume": volumes,
                "network": networks,
                "container": containers,
            }
        )
        builds = Builds(roots, image_store, images.pulls, tasks, networks, containers, events)
        builds.id_mappings = id_mappings
        stack.callback(builds.close)
        commits = Commits(image_store, containers, events)

        await volumes.recover()
        # Whose snapshots are to be kept must be known before anything is cleaned up.
        await images.recover({*await containers.snapshot_keys(), *await builds.snapshot_keys()})
        for service in (networks, containers, builds):
            await service.recover()
        await containers.resume()

        identity = engine_id(roots)

        def describe(current: Config) -> SystemSettings:
            return system_settings(
                current, identity, network_drivers=networks.drivers, runtimes=runtimes
            )

        system = System(
            describe(config),
            host,
            events,
            nouns(roots, containers, images, volumes, builds),
        )

        def reconfigure(changed: Config) -> None:
            defaults = changed.containers
            runtimes.configure(defaults.runtimes, defaults.runtime, defaults.init_path)
            system.settings = describe(changed)
            access.options = registry_options(changed)
            trash.limits = trash_limits(changed)
            from tiffin.daemon.reload_event import attributes  # not before it is needed

            events.publish("daemon", "reload", identity, attributes(changed))

        limiting = asyncio.create_task(trash.keep_limits(), name="limit the trash")
        stack.push_async_callback(_cancelled, limiting)
        yield Engine(
            routes=[
                *system_routes.routes(system),
                *event_routes.routes(system),
                *trash_routes.routes(trash),
                *volume_routes.routes(volumes),
                *network_routes.routes(networks, containers),
                *image_routes.routes(images),
                *distribution_routes.routes(images),
                *container_routes.routes(containers),
                *exec_routes.routes(containers),
                *build_routes.routes(builds),
                *commit_routes.routes(commits),
            ],
            reconfigure=reconfigure,
        )


def make_snapshotter(config: Config) -> OverlaySnapshotter | NativeSnapshotter:
    """Return the snapshotter that the configuration names."""
    if config.storage_driver == "native":
        return NativeSnapshotter(config.roots.snapshots)
    return OverlaySnapshotter(config.roots.snapshots)


def registry_options(config: Config) -> RegistryOptions:
    """Return which registries are mirrored, and which need no valid certificate."""
    registry = config.registry
    return RegistryOptions(registry.mirrors, registry.insecure, registry.rules, registry.default)


def remapped_ids(config: Config) -> IdMappings:
    """Return the maps of `--userns-remap`; FailedPrecondition if files cannot be stored so."""
    setting = config.containers.userns_remap
    if not setting:
        return IdMappings()
    from tiffin.engine.subordinate_ids import check_storage, remapping  # for few daemons

    mappings = remapping(setting)
    if mappings:
        check_storage(config.roots.data)
    return mappings


def container_settings(
    config: Config,
    id_mappings: IdMappings = NO_MAPPINGS,
) -> ContainerSettings:
    """Return what a container gets that does not say."""
    defaults = config.containers
    return ContainerSettings(
        log_driver=defaults.log_driver,
        log_options=defaults.log_options,
        shm_size=defaults.shm_bytes,
        init=defaults.init,
        ulimits=defaults.ulimits,
        ipc_mode=defaults.ipc_mode,
        cgroupns_mode=defaults.cgroupns_mode or "private",
        cgroup_parent=defaults.cgroup_parent,
        id_mappings=id_mappings,
        security_options=security_options(defaults),
        capabilities=frozenset(capabilities.names(capabilities.bounding())),
        cdi_directories=defaults.cdi_directories,
    )


def trash_limits(config: Config) -> Limits:
    """Return how long and how much of what was removed is kept."""
    return Limits(config.trash_age_s, config.trash_bytes)


def security_options(defaults: ContainerDefaults) -> tuple[str, ...]:
    """Return what `--security-opt` says by default; InvalidArgument for an unreadable profile."""
    options = ["no-new-privileges"] if defaults.no_new_privileges else []
    profile = defaults.seccomp_profile
    if profile and profile != "builtin":
        if profile != "unconfined":
            try:
                profile = Path(profile).read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidArgument(
                    f"opening seccomp profile ({profile}) failed: {error}"
                ) from error
        options.append(f"seccomp={profile}")
    return tuple(options)


def nouns(
    roots: Roots, containers: Containers, images: Images, volumes: Volumes, builds: Builds
) -> Nouns:
    """Return what the daemon's own routes tell of the other services."""

    def counts() -> Counts:
        numbers = containers.counts()
        return Counts(numbers["running"], numbers["paused"], numbers["stopped"])

    async def container_usage() -> list[Any]:
        return list(await containers.list(ListOptions(every=True, size=True)))

    async def volume_usage() -> list[Any]:
        return list(await volumes.disk_usage())

    async def image_usage() -> list[Any]:
        return list(await images.usage())

    async def build_usage() -> list[Any]:
        return list(await builds.disk_usage())

    async def disk() -> dict[str, int]:
        from tiffin.engine.disk import Living, measure  # rare

        store = images.store
        living = Living(
            await asyncio.to_thread(store.reach),
            *await containers.identifiers(),
            volumes.directories(),
        )
        return await asyncio.to_thread(measure, roots, store.snapshotter, living)

    return Nouns(
        containers=counts,
        images=images.count,
        layers_size=images.layers_size,
        disk=disk,
        usage={
            "container": container_usage,
            "image": image_usage,
            "volume": volume_usage,
            "build-cache": build_usage,
        },
    )


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def engine_id(roots: Roots) -> str:
    """Return the identifier that this data root keeps for good."""
    path = roots.data / "engine-id"
    try:
        return path.read_text()
    except FileNotFoundError:
        identity = str(uuid.uuid4())
        atomic.write(path, identity.encode(), mode=0o600)
        return identity


def network_options(config: Config) -> NetworkOptions:
    """Return what the configuration says about networks."""
    bridge, containers = config.bridge, config.containers
    return NetworkOptions(
        bridge=bridge.bridge,
        bip=bridge.bip,
        bip6=bridge.bip6,
        fixed_cidr=bridge.fixed_cidr,
        fixed_cidr_v6=bridge.fixed_cidr_v6,
        ipv6=bridge.ipv6,
        icc=bridge.icc,
        ip_forward=bridge.ip_forward,
        ip_masq=bridge.ip_masq,
        mtu=bridge.mtu,
        publish_ip=bridge.publish_ip,
        address_pools=bridge.address_pools,
        network_options=bridge.network_options,
        dns=containers.dns,
        dns_search=containers.dns_search,
        dns_options=containers.dns_options,
    )


def system_settings(
    config: Config, identity: str, *, network_drivers: Sequence[str], runtimes: Runtimes
) -> SystemSettings:
    """Return what `info` tells of the configuration."""
    return SystemSettings(
        id=identity,
        roots=config.roots,
        storage_driver=config.storage_driver,
        storage_status=(("Backing Filesystem", filesystem_of(config.roots.data)),),
        debug=config.debug,
        labels=config.labels,
        log_driver=config.containers.log_driver,
        log_drivers=LOG_DRIVERS,
        network_drivers=network_drivers,
        runtimes=runtimes.names(),
        default_runtime=runtimes.default,
        mirrors=config.registry.mirrors,
        insecure_registries=config.registry.insecure,
        address_pools=config.bridge.address_pools,
        warnings=config.warnings,
        no_new_privileges=config.containers.no_new_privileges,
        userns=config.containers.userns_remap not in ("", "root"),
        cdi_directories=config.containers.cdi_directories,
        seccomp_profile=config.containers.seccomp_profile,
    )
