"""What the use-cases of containers work with: other services behind narrow protocols."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from tiffin.api.types.networks import NetworkSettings
from tiffin.engine.containers.execution import Executions
from tiffin.engine.containers.id_ranges import IdRanges
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.registry import Registry
from tiffin.engine.containers.store import Store
from tiffin.engine.events import Events
from tiffin.engine.networks.contract import Allocation, ContainerNetworks
from tiffin.engine.roots import Roots
from tiffin.engine.runtimes import Runtimes
from tiffin.engine.tasks.contract import TaskService
from tiffin.engine.trash.contract import Bin, NoBin
from tiffin.images.image import Image
from tiffin.linux.capabilities import NAMES
from tiffin.linux.cgroups.support import EVERYTHING, Support
from tiffin.linux.mounts import detached
from tiffin.networks.driver import Sandbox
from tiffin.snapshots.snapshotter import Snapshotter
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMappings
from tiffin.spec.ids import ContainerId
from tiffin.spec.mount import Mount
from tiffin.spec.platform import Platform

Explain = Callable[[str, str], None]
"""Called with a step and the call that did it, as each is done."""


def silent(step: str, call: str) -> None:
    """Explain nothing."""


class Images(Protocol):
    """What containers need of images."""

    async def get(self, ref: str, platform: Platform | None = None) -> Image:
        """Find an image by name or id, also for another platform; NotFound `No such image: …`."""

    def hold(self, image: Image) -> AbstractContextManager[object]:
        """Keep an image's layers meanwhile; NotFound if it is gone. Blocking."""

    async def collect(self) -> None:
        """Remove layers of images that were removed while a container still used them."""


class Networks(Protocol):
    """What containers need of networks; see `engine/networks/contract.py`."""

    async def allocate(self, container: ContainerNetworks) -> Allocation:
        """Reserve what a start needs."""

    async def plug(self, allocation: Allocation, sandbox: Sandbox) -> None:
        """Make it exist in the sandbox."""

    async def release(self, container_id: ContainerId) -> None:
        """Give back what a run took."""

    async def forget(self, container_id: ContainerId) -> None:
        """Drop what a container had."""

    async def retain(self, running: Sequence[ContainerId]) -> None:
        """Release what belongs to no running container."""

    async def rename(self, container_id: ContainerId, name: str) -> None:
        """Answer to the new name."""

    async def settings(self, container: ContainerNetworks) -> NetworkSettings:
        """Return what inspect shows."""


class VolumeInUse(Protocol):
    """A volume as a container sees it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def driver(self) -> str:
        """Its driver's name."""

    @property
    def source(self) -> str:
        """The path that inspect shows."""

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """What the container must mount."""


class Volumes(Protocol):
    """What containers need of volumes."""

    async def create(
        self,
        name: str,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> object:
        """Create a volume unless it exists."""

    async def acquire(self, name: str, container_id: str) -> VolumeInUse:
        """Note that the container uses it; idempotent."""

    async def release(self, container_id: str) -> None:
        """Note that the container uses none any more."""

    async def populate(self, name: str, rootfs: Sequence[Mount], path: str) -> None:
        """Copy up what the image has at `path`, if the volume is new and empty."""

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume that nobody uses; Conflict, NotFound."""

    def mounted(
        self, name: str, container_id: str, destination: str, *, read_only: bool, propagation: str
    ) -> None:
        """Tell the world that a container that starts has the volume."""

    def unmounted(self, name: str, container_id: str) -> None:
        """Tell the world that a container that has ended let go of it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The daemon's defaults for containers."""

    log_driver: str = "json-file"
    log_options: Mapping[str, str] | None = None
    shm_size: int = 64 * 1024 * 1024
    init: bool = False
    stop_timeout_s: int = 10
    settling_s: float = 0.3
    """What a program that has just been started may take to install its signal handlers."""
    ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """(soft, hard) by name, for those that a container does not set."""
    ipc_mode: str = "private"
    cgroupns_mode: str = "private"
    cgroup_parent: str = ""
    id_mappings: IdMappings = NO_MAPPINGS
    """`--userns-remap`; empty without it."""
    security_options: Sequence[str] = ()
    """As `--security-opt` has them, for those that a container does not set."""
    capabilities: frozenset[str] = frozenset(NAMES)
    """What the daemon has to give."""
    cdi_directories: Sequence[str] = ()
    """Where vendors describe their devices; none if CDI is switched off."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything that a use-case may need."""

    roots: Roots
    registry: Registry
    store: Store
    tasks: TaskService
    images: Images
    networks: Networks
    volumes: Volumes
    snapshotter: Snapshotter
    events: Events
    settings: Settings
    support: Support = EVERYTHING
    """What the kernel can limit."""
    runtimes: Runtimes = field(default_factory=Runtimes)
    executions: Executions = field(default_factory=Executions)
    bin: Bin = field(default_factory=NoBin)
    """Where pruned containers go."""
    id_ranges: IdRanges = field(default_factory=IdRanges)
    open_mounts: Callable[[Sequence[Mount]], int] = detached
    """Mounts a list where nobody sees it, and returns a descriptor of it."""

    def publish(self, container: Container, action: str, **attributes: str) -> None:
        """Publish an event of a container with Docker's attributes: its labels, image, name."""
        config = container.spec.config
        self.events.publish(
            "container",
            action,
            container.id,
            {
                **(config.labels or {}),
                **attributes,
                "image": config.image,
                "name": container.name,
            },
        )
