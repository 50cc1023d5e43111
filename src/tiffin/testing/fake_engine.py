"""The neighbours of containers in the engine, as small as the use-cases allow."""
# ruff: noqa: D102  # the methods are those of the protocols

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tiffin.api.types.networks import EndpointSettings, NetworkSettings, PortBinding
from tiffin.engine.containers.context import Context, Settings, VolumeInUse
from tiffin.engine.containers.registry import Registry
from tiffin.engine.containers.store import Store
from tiffin.engine.events import Event, Events
from tiffin.engine.networks.contract import Allocation, ContainerNetworks
from tiffin.engine.roots import Roots
from tiffin.engine.volumes.service import VolumeMount
from tiffin.errors import Conflict, NotFound, TiffinError
from tiffin.images.image import Image
from tiffin.networks.driver import Sandbox
from tiffin.snapshots.native import NativeSnapshotter
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.descriptor import OCI_MANIFEST, Descriptor
from tiffin.spec.digest import digest_bytes
from tiffin.spec.ids import ContainerId
from tiffin.spec.image import ImageConfig, RootFS
from tiffin.spec.mount import Mount
from tiffin.spec.platform import Platform, host_platform, matches
from tiffin.state.containers import ContainerRecords
from tiffin.state.database import Database
from tiffin.testing.fake_tasks import FakeTasks


def make_image(config: ContainerConfig, diff_ids: Sequence[str] = ()) -> Image:
    """Return an image for this machine with the given defaults."""
    platform = host_platform()
    full = ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        config=config,
        rootfs=RootFS(diff_ids=tuple(digest_bytes(item.encode()) for item in diff_ids)),
    )
    identity = digest_bytes(repr(full).encode())
    return Image(identity, full, Descriptor(OCI_MANIFEST, identity, 0), ())


class FakeImages:
    """Images by name."""

    def __init__(self, images: Mapping[str, Image]) -> None:
        self.images = dict(images)
        self.collected = 0

    async def get(self, ref: str, platform: Platform | None = None) -> Image:
        for name, image in self.images.items():
            if ref in (name, f"{name}:latest", image.id):
                if platform is not None and not matches(platform, image.config.platform):
                    raise NotFound(
                        f"image with reference {ref} was found but its platform "
                        f"({image.config.platform}) does not match the specified platform "
                        f"({platform})"
                    )
                return image
        raise NotFound(f"No such image: {ref if ':' in ref else ref + ':latest'}")

    def hold(self, image: Image) -> AbstractContextManager[object]:
        if image not in self.images.values():
            raise NotFound(f"No such image: {image.id}")
        return nullcontext()

    async def collect(self) -> None:
        self.collected += 1


class FakeNetworks:
    """Remembers who was allocated, released and forgotten."""

    def __init__(self) -> None:
        self.allocated: dict[str, ContainerNetworks] = {}
        self.forgotten: list[str] = []
        self.renamed: dict[str, str] = {}
        self.error: TiffinError | None = None

    async def allocate(self, container: ContainerNetworks) -> Allocation:
        if self.error is not None:
            raise self.error
        self.allocated[container.id] = container
        return Allocation(
            container=container.id,
            new_netns=container.network_mode != "host",
            hosts="127.0.0.1\tlocalhost\n",
            resolv_conf="nameserver 127.0.0.11\n",
            hostname=container.hostname,
        )

    async def plug(self, allocation: Allocation, sandbox: Sandbox) -> None:
        del allocation, sandbox

    async def release(self, container_id: ContainerId) -> None:
        self.allocated.pop(container_id, None)

    async def forget(self, container_id: ContainerId) -> None:
        self.forgotten.append(container_id)

    async def retain(self, running: Sequence[ContainerId]) -> None:
        for identifier in set(self.allocated) - set(running):
            del self.allocated[identifier]

    async def rename(self, container_id: ContainerId, name: str) -> None:
        self.renamed[container_id] = name

    async def settings(self, container: ContainerNetworks) -> NetworkSettings:
        settings = NetworkSettings(networks={"bridge": EndpointSettings(network_id="net1")})
        if container.id in self.allocated:
            settings.ports = {
                port: [
                    PortBinding(host_ip="0.0.0.0", host_port=item.host_port)
                    for item in bindings or ()
                ]
                for port, bindings in container.port_bindings.items()
            }
        return settings


class FakeVolumes:
    """Volumes that are directories below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.labels: dict[str, Mapping[str, str]] = {}
        self.users: dict[str, set[str]] = {}
        self.populated: list[tuple[str, str]] = []

    async def create(
        self,
        name: str,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> object:
        del driver, options
        (self.root / name).mkdir(parents=True, exist_ok=True)
        self.labels.setdefault(name, labels or {})
        return name

    async def acquire(self, name: str, container_id: str) -> VolumeInUse:
        if name not in self.labels:
            raise NotFound(f"get {name}: no such volume")
        self.users.setdefault(name, set()).add(container_id)
        path = str(self.root / name)
        return VolumeMount(name, "local", path, (Mount("bind", path, ("rbind",)),))

    async def release(self, container_id: str) -> None:
        for users in self.users.values():
            users.discard(container_id)

    async def populate(self, name: str, rootfs: Sequence[Mount], path: str) -> None:
        del rootfs
        self.populated.append((name, path))

    async def remove(self, name: str, *, force: bool = False) -> None:
        del force
        if self.users.get(name):
            raise Conflict(f"remove {name}: volume is in use")
        if self.labels.pop(name, None) is None:
            raise NotFound(f"get {name}: no such volume")

    def mounted(
        self, name: str, container_id: str, destination: str, *, read_only: bool, propagation: str
    ) -> None:
        del name, container_id, destination, read_only, propagation

    def unmounted(self, name: str, container_id: str) -> None:
        del name, container_id


class RecordingEvents(Events):
    """An event bus that also keeps a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[Event] = []

    def publish(
        self, kind: str, action: str, actor: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        super().publish(kind, action, actor, attributes)
        self.all.append(Event(kind, action, actor, dict(attributes or {})))

    def actions(self) -> list[str]:
        """Return what happened, in order."""
        return [event.action for event in self.all]


def open_plain(mounts: Sequence[Mount]) -> int:
    """Open the directory of a single bind mount, which needs no privileges."""
    return os.open(mounts[0].source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class Lab:
    """A context of fakes below `path`, with one image called `bb`; `restart` makes a new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.roots = Roots(path / "data", path / "exec")
        self.roots.data.mkdir(parents=True, exist_ok=True)
        self.tasks = FakeTasks()
        self.networks = FakeNetworks()
        self.volumes = FakeVolumes(path / "volumes")
        self.events = RecordingEvents()
        self.images = FakeImages({"bb": make_image(ContainerConfig(cmd=("sh",), env=("A=1",)))})
        self.database = Database(self.roots.database)
        self.snapshotter = NativeSnapshotter(self.roots.snapshots)
        self.context = Context(
            roots=self.roots,
            registry=Registry(),
            store=Store(ContainerRecords(self.database)),
            tasks=self.tasks,
            images=self.images,
            networks=self.networks,
            volumes=self.volumes,
            snapshotter=self.snapshotter,
            events=self.events,
            settings=Settings(settling_s=0),
            open_mounts=open_plain,
        )
