"""Puts the engine together: picks the technologies, makes the services, recovers them in order."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from tiffin.daemon.config import Config
from tiffin.engine.events import Events
from tiffin.engine.host import read_host
from tiffin.engine.networks.options import NetworkOptions
from tiffin.engine.networks.service import Networks
from tiffin.engine.roots import Roots
from tiffin.engine.system import Counts, Nouns, System, SystemSettings
from tiffin.engine.tasks.service import Tasks
from tiffin.engine.volumes.service import Volumes
from tiffin.fs import atomic
from tiffin.fs.trash import Trash
from tiffin.server.routes import events as event_routes
from tiffin.server.routes import system as system_routes
from tiffin.server.routes import volumes as volume_routes
from tiffin.server.routing import Route
from tiffin.state.database import Database
from tiffin.state.volumes import VolumeRows
from tiffin.volumes.local import LocalVolumes

log = logging.getLogger(__name__)

PURGE_EVERY_S = 3600.0


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
        trash = Trash(roots.trash)

        tasks = Tasks(roots)
        await tasks.start()
        stack.push_async_callback(tasks.close)
        volumes = Volumes(VolumeRows(database), LocalVolumes(roots.volumes, trash), events)
        networks = Networks(roots, database, events, network_options(config))

        for service in (volumes, networks):
            await service.recover()

        async def none() -> int:
            return 0

        identity = engine_id(roots)
        system = System(
            system_settings(config, identity),
            read_host(),
            events,
            Nouns(containers=Counts, images=none, layers_size=none),
        )

        def reconfigure(changed: Config) -> None:
            system.settings = system_settings(changed, identity)

        purging = asyncio.create_task(_purge(trash), name="purge the trash")
        stack.push_async_callback(_cancelled, purging)
        yield Engine(
            routes=[
                *system_routes.routes(system),
                *event_routes.routes(system),
                *volume_routes.routes(volumes),
            ],
            reconfigure=reconfigure,
        )


async def _purge(trash: Trash) -> None:
    while True:
        try:
            await asyncio.to_thread(trash.purge)
        except OSError as error:
            log.warning("could not empty the trash: %s", error)
        await asyncio.sleep(PURGE_EVERY_S)


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
        dns=containers.dns,
        dns_search=containers.dns_search,
        dns_options=containers.dns_options,
    )


def system_settings(config: Config, identity: str) -> SystemSettings:
    """Return what `info` tells of the configuration."""
    return SystemSettings(
        id=identity,
        roots=config.roots,
        storage_driver=config.storage_driver,
        storage_status=(("Backing Filesystem", "extfs"),),
        debug=config.debug,
        labels=config.labels,
        log_driver=config.containers.log_driver,
        log_drivers=("json-file", "none"),
        network_drivers=("bridge", "host", "null"),
        mirrors=config.registry.mirrors,
        insecure_registries=config.registry.insecure,
        address_pools=config.bridge.address_pools,
        warnings=config.warnings,
        no_new_privileges=config.containers.no_new_privileges,
        seccomp_profile=config.containers.seccomp_profile,
    )
