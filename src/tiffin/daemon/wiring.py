"""Puts the engine together: picks the technologies, makes the services, recovers them in order."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from tiffin.daemon.config import Config
from tiffin.engine.events import Events
from tiffin.engine.host import read_host
from tiffin.engine.roots import Roots
from tiffin.engine.system import Counts, Nouns, System, SystemSettings
from tiffin.fs import atomic
from tiffin.server.routes import events as event_routes
from tiffin.server.routes import system as system_routes
from tiffin.server.routing import Route
from tiffin.state.database import Database


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine, as the daemon sees it."""

    routes: list[Route]
    reconfigure: Callable[[Config], None]


@contextlib.asynccontextmanager
async def running_engine(config: Config) -> AsyncIterator[Engine]:
    """Make all services, recover what an earlier daemon left, and let go at the end."""
    database = Database(config.roots.database)
    events = Events()
    identity = engine_id(config.roots)

    async def none() -> int:
        return 0

    system = System(
        system_settings(config, identity),
        read_host(),
        events,
        Nouns(containers=Counts, images=none, layers_size=none),
    )

    def reconfigure(changed: Config) -> None:
        system.settings = system_settings(changed, identity)

    try:
        yield Engine(
            routes=[*system_routes.routes(system), *event_routes.routes(system)],
            reconfigure=reconfigure,
        )
    finally:
        database.close()


def engine_id(roots: Roots) -> str:
    """Return the identifier that this data root keeps for good."""
    path = roots.data / "engine-id"
    try:
        return path.read_text()
    except FileNotFoundError:
        identity = str(uuid.uuid4())
        atomic.write(path, identity.encode(), mode=0o600)
        return identity


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
