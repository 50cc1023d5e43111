"""RUN's processes: a bundle, the network and a task, like a container's, without being one."""

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tiffin.api.types.containers import Config
from tiffin.api.types.host_config import HostConfig
from tiffin.api.types.resources import Ulimit
from tiffin.build.executor import Cancellation, Output, RunRequest
from tiffin.engine.build.bridge import run_in_loop
from tiffin.engine.bundle.build import BundleRequest, build_bundle
from tiffin.engine.bundle.mount_point import MountKind, MountPoint
from tiffin.engine.bundle.mounts import EtcFiles, ResolvedMount
from tiffin.engine.bundle.namespaces import shared_with
from tiffin.engine.bundle.user_namespaces import check_conflicts
from tiffin.engine.bundle.users import Account, resolve_user
from tiffin.engine.containers.files import write_files
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.namespaces import Joined, with_user_namespace
from tiffin.engine.containers.rootfs import read_lines, stopped_view
from tiffin.engine.networks.contract import Allocation, ContainerNetworks
from tiffin.engine.roots import Roots
from tiffin.engine.tasks.contract import (
    Attachment,
    Exit,
    LogTarget,
    TaskHandle,
    TaskRequest,
    TaskService,
)
from tiffin.errors import Conflict, FailedPrecondition
from tiffin.fs import atomic
from tiffin.fs.rooted import Root, remove_tree
from tiffin.linux.mounts import detached
from tiffin.networks.driver import Sandbox
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMappings
from tiffin.spec.ids import ContainerId, short
from tiffin.spec.mount import Mount

log = logging.getLogger(__name__)

CHUNK = 1 << 16
DRAIN_S = 5.0
"""How long output may trail behind the end of its process."""


class Networks(Protocol):
    """What the builder needs of networks; see `engine/networks/contract.py`."""

    async def allocate(self, container: ContainerNetworks) -> Allocation:
        """Reserve what a start needs."""

    async def plug(self, allocation: Allocation, sandbox: Sandbox) -> None:
        """Make it exist in the sandbox."""

    async def release(self, container_id: ContainerId) -> None:
        """Give back what a run took."""

    async def forget(self, container_id: ContainerId) -> None:
        """Drop what a container had."""


class RunningContainers(Protocol):
    """What `--network container:…` needs of containers."""

    def find(self, reference: str) -> Container:
        """Return the live object; NotFound `No such container: …`."""


@dataclass(frozen=True, slots=True)
class TaskExecutor:
    """See `build.executor.Executor`. Each step under way has a directory in `running`."""

    loop: asyncio.AbstractEventLoop
    roots: Roots
    tasks: TaskService
    networks: Networks
    containers: RunningContainers
    running: Path
    ids: IdMappings = NO_MAPPINGS
    """Of the user namespace that steps run in; empty for none."""

    def run(self, request: RunRequest, output: Output, cancelled: Cancellation) -> int:
        """Run one process to its end, from a thread that is not the loop's."""
        try:
            return run_in_loop(self.loop, lambda: self._run_to_end(request, output), cancelled)
        except OSError as error:
            raise FailedPrecondition(f"failed to run the step: {error}") from error

    async def _run_to_end(self, request: RunRequest, output: Output) -> int:
        identifier = ContainerId(request.id)
        async with AsyncExitStack() as undo:
            place = self._place(request)
            undo.callback(remove_tree, place)
            undo.callback(remove_tree, self.roots.task(identifier))
            undo.push_async_callback(self.networks.forget, identifier)
            allocation = await self.networks.allocate(_networks(request))
            undo.push_async_callback(self.networks.release, identifier)
            sockets = undo.enter_context(contextlib.ExitStack())
            sockets.callback(allocation.close)
            root, account = await asyncio.to_thread(_account, request)
            # The kernel takes milliseconds to let go of a mount: meanwhile we go on.
            closing = asyncio.create_task(asyncio.to_thread(root.close))
            undo.push_async_callback(asyncio.wait, [closing])
            bundle = await asyncio.to_thread(
                self._write_bundle, request, place, allocation, account
            )
            reader = await undo.enter_async_context(_reading(output))
            handle = await self.tasks.create(
                TaskRequest(
                    id=identifier,
                    bundle=bundle,
                    log=LogTarget("none", place),
                    new_network=allocation.new_netns,
                    dns=allocation.dns,
                    attachments=(Attachment(fd=reader.fd, framed=False, detach_keys=b""),),
                )
            )
            undo.push_async_callback(handle.delete)
            reader.close_fd()
            if allocation.new_netns and handle.sandbox is not None:
                await self.networks.plug(allocation, handle.sandbox)
            await handle.start(allocation.forwards)
            sockets.close()
            _warn(handle, output)
            ended = await handle.wait()
            await reader.drain()
            return ended.code

    def _place(self, request: RunRequest) -> Path:
        """Make the step's directory; its presence tells a later daemon that this was running."""
        place = self.running / request.id
        place.mkdir(mode=0o700, parents=True)
        atomic.write(place / "step.json", json.dumps(list(request.arguments)).encode(),
                     durable=False)  # fmt: skip
        return place

    def _write_bundle(
        self, request: RunRequest, place: Path, allocation: Allocation, account: Account
    ) -> Path:
        host = _host_config(request)
        check_conflicts(host, is_remapped=bool(self.ids))
        joined = Joined(self._joined(request.network), self.ids)
        if self.ids and joined.paths:
            joined = with_user_namespace(request.id, joined.paths)
        files = EtcFiles(place / "hosts", place / "hostname", place / "resolv.conf")
        write_files(files, allocation)
        config = build_bundle(
            BundleRequest(
                id=request.id, tag=self.roots.tag, rootfs=request.rootfs,
                config=_config(request), host=host,
                account=account, hostname=allocation.hostname,
                files=files, mounts=tuple(_resolved(mount) for mount in request.mounts),
                joined=joined.paths, ids=joined.ids,
            )
        )  # fmt: skip
        bundle = self.roots.task(ContainerId(request.id))
        bundle.mkdir(parents=True, exist_ok=True, mode=0o700)
        (bundle / "config.json").write_text(json.dumps(config))
        return bundle

    def _joined(self, network: str) -> Mapping[str, str]:
        other = shared_with(network)
        if not other:
            return {}
        container = self.containers.find(other)
        if not container.alive:
            raise Conflict(f"cannot join network of a non running container: {container.id}")
        return {"network": f"/proc/{container.instance.pid}/ns/net"}


def _networks(request: RunRequest) -> ContainerNetworks:
    return ContainerNetworks(
        id=ContainerId(request.id), name=f"build-{short(request.id)}",
        hostname=short(request.id), network_mode=request.network,
        extra_hosts=request.limits.extra_hosts,
    )  # fmt: skip


def _account(request: RunRequest) -> tuple[Root, Account]:
    """Look the user up in the image's own files; return the root too, for the caller to close."""
    root = Root(detached(stopped_view(request.rootfs)))
    try:
        return root, resolve_user(request.user, (), lambda path: read_lines(root, path))
    except BaseException:
        root.close()
        raise


def _config(request: RunRequest) -> Config:
    return Config(hostname=short(request.id), user=request.user, env=list(request.environment),
                  cmd=list(request.arguments), working_dir=request.working_dir)  # fmt: skip


def _host_config(request: RunRequest) -> HostConfig:
    limits = request.limits
    return HostConfig(
        memory=limits.memory,
        memory_swap=limits.memory_swap or max(limits.memory, 0) * 2,
        cpu_shares=limits.cpu_shares, cpuset_cpus=limits.cpuset_cpus,
        cpuset_mems=limits.cpuset_mems, cpu_period=limits.cpu_period, cpu_quota=limits.cpu_quota,
        shm_size=limits.shm_size, cgroup_parent=limits.cgroup_parent,
        ulimits=[Ulimit(name=name, soft=soft, hard=hard) for name, soft, hard in limits.ulimits],
        network_mode=request.network, privileged=request.insecure, ipc_mode="private",
        cgroupns_mode="private",
    )  # fmt: skip


def _resolved(mount: Mount) -> ResolvedMount:
    point = MountPoint(MountKind.VOLUME, mount.target, read_only="ro" in mount.options)
    return ResolvedMount(point, (Mount(mount.fstype, mount.source, mount.options),))


def _warn(handle: TaskHandle, output: Output) -> None:
    for warning in handle.warnings:
        output(f"[Warning] {warning}\n".encode())


class _Reader:
    """The client side of an attachment: passes on what the process writes."""

    def __init__(self, ours: socket.socket, theirs: socket.socket, output: Output) -> None:
        self._ours = ours
        self._theirs = theirs
        self._output = output
        self.pump: asyncio.Task[None] | None = None

    @property
    def fd(self) -> int:
        """The end for the shim."""
        return self._theirs.fileno()

    def close_fd(self) -> None:
        """Close it, once the shim has its own."""
        self._theirs.close()

    async def run(self) -> None:
        """Read until the other side is closed."""
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(self._ours, CHUNK):
            self._output(data)

    async def drain(self) -> None:
        """Wait for what is still on its way."""
        if self.pump is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self.pump), DRAIN_S)


@asynccontextmanager
async def _reading(output: Output) -> AsyncIterator[_Reader]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    reader = _Reader(ours, theirs, output)
    reader.pump = asyncio.create_task(reader.run())
    try:
        yield reader
    finally:
        reader.close_fd()
        reader.pump.cancel()
        await asyncio.wait([reader.pump])
        ours.close()


async def clean_up_steps(
    running: Path, roots: Roots, tasks: TaskService, networks: Networks
) -> None:
    """End and remove the steps that an earlier daemon left behind. At start only."""
    if not running.is_dir():
        return
    for place in sorted(running.iterdir()):
        identifier = ContainerId(place.name)
        found = await tasks.recover(identifier)
        if found is not None and not isinstance(found, Exit):
            await found.delete()
        await networks.release(identifier)
        await networks.forget(identifier)
        await asyncio.to_thread(remove_tree, roots.task(identifier))
        await asyncio.to_thread(remove_tree, place)
        log.info("removed what was left of build step %s", short(identifier))
