"""A container: what was asked for, what is the case, and the live object that joins them."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

from tiffin.api.types.containers import Config, Health
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.networks import EndpointSettings
from tiffin.engine.bundle.mount_point import MountPoint
from tiffin.engine.containers.status import ALIVE, UP, Status, check_move
from tiffin.engine.networks.contract import ContainerNetworks
from tiffin.engine.tasks.contract import Attachment, TaskHandle
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMappings
from tiffin.spec.ids import ContainerId, ExecId, short

_VOLATILE_S = 10.0


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """What was asked for. `config` and `host` are complete and never changed in place."""

    id: ContainerId
    created_ns: int
    image_id: str
    """Digest of the image's config, "" without an image."""
    chain_id: str
    """The snapshot below the container's own, "" for none."""
    platform: str
    config: Config
    host: HostConfig
    mounts: tuple[MountPoint, ...] = ()
    endpoints: dict[str, EndpointSettings | None] = field(default_factory=dict)
    id_mappings: IdMappings = NO_MAPPINGS
    """Of a user namespace with ids that no other container has (`--userns=auto`)."""
    links: dict[str, ContainerId] = field(default_factory=dict)
    """Linked containers by alias, on the default bridge."""


@dataclass(slots=True)
class Instance:
    """What last became of it. Times are Unix ns, 0 for never."""

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    restart_count: int = 0
    health: Health | None = None
    """What the checks found; None without checks."""
    stopped_by_user: bool = False
    """A policy of `unless-stopped` or `always` leaves it alone until it is started again."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, for those who waited."""

    exit_code: int
    error: str


class ContainerExec(Protocol):
    """What a container knows of its execs (`execution.py`)."""

    id: ExecId
    running: bool
    exit_code: int | None
    supervisor: asyncio.Task[None] | None

    def container_ended(self) -> None:
        """Note that the container's processes are gone, and so is this one."""


class Container:
    """The live object. Changes happen under `lock`; reading needs no lock in the event loop."""

    def __init__(self, spec: ContainerSpec, name: str, instance: Instance | None = None) -> None:
        self.spec = spec
        self.name = name
        self.instance = instance or Instance()
        self.lock = asyncio.Lock()
        self.handle: TaskHandle | None = None
        self.pending: list[Attachment] = []
        """Clients that attached before the start; their descriptors are ours until then."""
        self.executions: dict[str, ContainerExec] = {}
        self.supervisor: asyncio.Task[None] | None = None
        """Waits for the end of the task, and then for the time to restart it."""
        self.health_checks: asyncio.Task[None] | None = None
        self.stop_requested = False
        """Somebody asked for the end of the present run: no restart."""
        self.keep = False
        """A restart by a user is under way: `--rm` does not apply to the end of this run."""
        self.restarting = False
        """A user's restart is under way: whoever follows the log goes on."""
        self.delay_s = 0.0
        """Present back-off of the restart policy."""
        self.wake_restart = asyncio.Event()
        self.summary_cache: dict[str, object] = {}
        self.volatile_until = 0.0
        self._ended: asyncio.Future[Ending] | None = None
        self._removed: asyncio.Future[None] | None = None

    @property
    def id(self) -> ContainerId:
        """Full identifier."""
        return self.spec.id

    @property
    def status(self) -> Status:
        """Present state."""
        return self.instance.status

    @property
    def health(self) -> Health | None:
        """What the health checks found; None without any."""
        return self.instance.health

    @health.setter
    def health(self, health: Health | None) -> None:
        self.instance.health = health

    @property
    def alive(self) -> bool:
        """There is a process, perhaps frozen."""
        return self.instance.status in ALIVE

    @property
    def up(self) -> bool:
        """It runs, or its restart policy is about to run it again."""
        return self.instance.status in UP

    def move(self, status: Status) -> None:
        """Change the state; Conflict if there is no such move."""
        check_move(self.id, self.instance.status, status)
        self.instance.status = status

    def changed(self, *, for_a_while: bool = False) -> None:
        """Forget what was derived from spec, name or networks.

        With `for_a_while` a change of networks is only about to happen: cache nothing meanwhile.
        """
        self.summary_cache.clear()
        if for_a_while:
            self.volatile_until = time.monotonic() + _VOLATILE_S

    def networks(self) -> ContainerNetworks:
        """Return this container's wishes in the vocabulary of networks."""
        config, host = self.spec.config, self.spec.host
        return ContainerNetworks(
            id=self.id,
            name=self.name,
            hostname=config.hostname or short(self.id),
            domainname=config.domainname,
            network_mode="none" if config.network_disabled else host.network_mode or "default",
            endpoints=self.spec.endpoints,
            port_bindings=host.port_bindings or {},
            exposed_ports=tuple(config.exposed_ports or ()),
            publish_all=host.publish_all_ports,
            mac_address=config.mac_address,
            dns=host.dns or (),
            dns_search=host.dns_search or (),
            dns_options=host.dns_options or (),
            extra_hosts=host.extra_hosts or (),
            links=tuple(f"{child}:{alias}" for alias, child in self.spec.links.items()),
        )

    def notify_ended(self) -> None:
        """Wake everybody who waits for the end of a run."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(Ending(self.instance.exit_code, self.instance.error))
        self._ended = None

    def notify_removed(self) -> None:
        """Wake everybody who waits for the removal."""
        self.notify_ended()
        if self._removed is not None and not self._removed.done():
            self._removed.set_result(None)

    def next_end(self) -> asyncio.Future[Ending]:
        """Return a future of the next end of a run (or of the removal); shield it."""
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return self._ended

    def removal(self) -> asyncio.Future[None]:
        """Return a future of the removal; shield it."""
        if self._removed is None:
            self._removed = asyncio.get_running_loop().create_future()
        return self._removed


def now_ns() -> int:
    """Return Unix time in nanoseconds."""
    return time.time_ns()
