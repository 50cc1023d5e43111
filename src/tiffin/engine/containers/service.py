"""The facade of everything that concerns containers: finds them, and delegates."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any

from tiffin.api.filters import Filters
from tiffin.api.types.containers import (
    ChangeItem,
    ContainerInspect,
    CreateRequest,
    CreateResponse,
    PruneResponse,
    TopResponse,
    WaitResponse,
)
from tiffin.api.types.exec import ExecCreateRequest, ExecInspect
from tiffin.api.types.resources import UpdateRequest, UpdateResponse
from tiffin.api.types.summary import ContainerSummary
from tiffin.engine.bundle.mounts import ResolvedMount
from tiffin.engine.containers import (
    attach,
    changes,
    create,
    executions,
    inspection,
    launch,
    links,
    listing,
    logs,
    pause,
    prune,
    recover,
    remove,
    rename,
    resize,
    restart,
    start,
    stats,
    stop,
    top,
    trash,
    update,
    wait,
)
from tiffin.engine.containers.archive import Archives
from tiffin.engine.containers.attach import AttachOptions
from tiffin.engine.containers.context import Context, Explain, silent
from tiffin.engine.containers.execution import Execution
from tiffin.engine.containers.listing import ListOptions
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.engine.containers.uninterrupted import uninterrupted
from tiffin.engine.networks.contract import ConnectTarget
from tiffin.engine.tasks.contract import Attachment
from tiffin.errors import Conflict
from tiffin.logs.driver import LogFormat, LogQuery
from tiffin.spec.digest import Digest
from tiffin.state.retired import Retired


class Containers:
    """Containers and execs. References are names, ids or unique starts of ids.

    Changes run to their end even if the client that asked goes away.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    # Life of the service

    async def snapshot_keys(self) -> list[str]:
        """Return the keys of the snapshots that stored containers need; before `recover`."""
        return await asyncio.to_thread(recover.snapshot_keys, self._context)

    async def recover(self) -> None:
        """Find out what became of the containers of an earlier daemon, and clean up after it."""
        await recover.recover(self._context)

    async def resume(self) -> None:
        """Restart and remove what policies say; after every service has recovered."""
        await recover.resume(self._context)

    async def close(self) -> None:
        """Let go of all containers, which run on, and write what is not written yet."""
        tasks = [
            task
            for container in self._context.registry
            for task in (container.supervisor, container.health_checks)
            if task is not None
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._context.store.close()

    # Looking

    def find(self, reference: str) -> Container:
        """Return the live object; NotFound `No such container: …`, InvalidArgument."""
        return self._context.registry.find(reference)

    async def identifiers(self) -> tuple[frozenset[str], frozenset[str]]:
        """Return the ids of all containers, and of those in the trash."""
        retired = await asyncio.to_thread(self._context.store.retired_containers)
        present = frozenset(container.id for container in self._context.registry)
        return present, frozenset(container.id for container in retired)

    async def list(self, options: ListOptions) -> Sequence[ContainerSummary]:
        """Return summaries, newest first."""
        return await listing.list_containers(self._context, options)

    async def inspect(self, reference: str, *, size: bool = False) -> ContainerInspect:
        """Describe one."""
        return await inspection.inspect(self._context, self.find(reference), size=size)

    async def top(self, reference: str, arguments: str) -> TopResponse:
        """List its processes."""
        container = self.find(reference)
        found = await asyncio.to_thread(top.top, self._context, container, arguments)
        self._context.publish(container, "top")
        return found

    async def changes(self, reference: str) -> Sequence[ChangeItem]:
        """Return the paths that it changed."""
        return await asyncio.to_thread(changes.changes, self._context, self.find(reference))

    def logs(
        self, container: Container, query: LogQuery, form: LogFormat, *, follow: bool
    ) -> AsyncIterator[bytes]:
        """Yield its log, ready for the client."""
        return logs.read(self._context, container, query, form, follow=follow)

    def stats(
        self, container: Container, *, follow: bool, one_shot: bool
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield its resource use."""
        return stats.stream(self._context, container, follow=follow, one_shot=one_shot)

    def wait(self, reference: str, condition: wait.Condition) -> Coroutine[Any, Any, WaitResponse]:
        """Return what waits; nothing from this call on is missed."""
        return wait.wait(self.find(reference), condition)

    # Life of a container

    async def create(
        self, request: CreateRequest, name: str = "", platform: str = ""
    ) -> CreateResponse:
        """Make one."""
        return await uninterrupted(create.create(self._context, request, name, platform))

    async def start(self, reference: str, explain: Explain = silent) -> None:
        """Run its program."""
        await uninterrupted(start.start(self._context, self.find(reference), explain))

    async def stop(self, reference: str, signal: str = "", timeout_s: int | None = None) -> None:
        """End its program, gently first."""
        await uninterrupted(stop.stop(self._context, self.find(reference), signal, timeout_s))

    async def restart(self, reference: str, signal: str = "", timeout_s: int | None = None) -> None:
        """Stop and start."""
        await uninterrupted(restart.restart(self._context, self.find(reference), signal, timeout_s))

    async def kill(self, reference: str, signal: str = "") -> None:
        """Send a signal."""
        await uninterrupted(stop.kill(self._context, self.find(reference), reference, signal))

    async def pause(self, reference: str) -> None:
        """Freeze."""
        await uninterrupted(pause.pause(self._context, self.find(reference)))

    async def unpause(self, reference: str) -> None:
        """Thaw."""
        await uninterrupted(pause.unpause(self._context, self.find(reference)))

    async def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it."""
        await uninterrupted(
            remove.remove(self._context, self.find(reference), force=force, volumes=volumes)
        )

    async def unlink(self, name: str) -> None:
        """Forget the link `parent/alias`."""
        await uninterrupted(links.unlink(self._context, name))

    async def rename(self, reference: str, new_name: str) -> None:
        """Give it another name."""
        await uninterrupted(rename.rename(self._context, self.find(reference), new_name))

    async def update(self, reference: str, request: UpdateRequest) -> UpdateResponse:
        """Change limits and restart policy."""
        return await uninterrupted(update.update(self._context, self.find(reference), request))

    async def prune(self, filters: Filters) -> PruneResponse:
        """Remove all that do not run."""
        return await uninterrupted(prune.prune(self._context, filters))

    async def preview_prune(self, filters: Filters) -> PruneResponse:
        """Tell what `prune` would remove."""
        return await prune.preview(self._context, filters)

    async def restore(self, item: Retired) -> None:
        """Bring one back from the trash; Conflict, NotFound."""
        await uninterrupted(trash.restore(self._context, item))

    async def destroy(self, item: Retired) -> int:
        """Drop one of the trash for good; return the bytes freed."""
        return await uninterrupted(trash.destroy(self._context, item))

    # Connections

    async def attach(
        self, container: Container, fd: int, prefix: bytes, options: AttachOptions
    ) -> None:
        """Attach a connected socket, which stays the caller's."""
        await attach.attach(self._context, container, fd, prefix, options)

    async def resize(self, reference: str, rows: int, columns: int) -> None:
        """Set its terminal's size."""
        await resize.resize(self._context, self.find(reference), rows, columns)

    async def archives(self, reference: str, action: str = "") -> Archives:
        """Return its files, for threads; `action` is the event to publish."""
        container = self.find(reference)
        mounts: Sequence[ResolvedMount] = ()
        if not container.alive:
            mounts = await launch.resolve_mounts(self._context, container)
        if action:
            self._context.publish(container, action)
        return Archives(self._context, container, mounts, named=reference)

    # Execs

    async def exec_create(self, reference: str, request: ExecCreateRequest) -> str:
        """Note what shall be executed, and return its id."""
        container = self.find(reference)
        return (await executions.create(self._context, container, request)).id

    def exec_claim(self, identifier: str) -> Execution:
        """Return an exec that is about to be started, by nobody else."""
        execution = self._context.executions.find(identifier)
        executions.claim(execution)
        return execution

    async def exec_start(
        self,
        execution: Execution,
        attachment: Attachment | None = None,
        size: tuple[int, int] = (0, 0),
    ) -> None:
        """Execute it."""
        await uninterrupted(executions.start(self._context, execution, attachment, size))

    async def exec_inspect(self, identifier: str) -> ExecInspect:
        """Describe one."""
        return await executions.inspect(self._context.executions.find(identifier))

    async def exec_resize(self, identifier: str, rows: int, columns: int) -> None:
        """Set its terminal's size."""
        await executions.resize(self._context.executions.find(identifier), rows, columns)

    # For other services

    async def connect_target(self, reference: str) -> ConnectTarget:
        """Return what networks need to connect a container."""
        container = self.find(reference)
        container.changed(for_a_while=True)
        handle = container.handle if container.alive else None
        return ConnectTarget(container.networks(), handle.open_sandbox if handle else None)

    def users_of(self, image_id: Digest) -> Sequence[tuple[str, bool]]:
        """Return (container id, is running) of every container made from the image."""
        return [
            (container.id, container.up)
            for container in self._context.registry
            if container.spec.image_id == image_id
        ]

    def running_pid(self, reference: str) -> int:
        """Return the init process of a running container; NotFound, Conflict."""
        container = self.find(reference)
        if not container.alive:
            raise Conflict(f"cannot join network of a non running container: {container.id}")
        return container.instance.pid

    def counts(self) -> dict[str, int]:
        """Return how many there are in all, and `running`, `paused`, `stopped`."""
        states = [container.status for container in self._context.registry]
        running = sum(state in (Status.RUNNING, Status.RESTARTING) for state in states)
        paused = states.count(Status.PAUSED)
        return {
            "all": len(states),
            "running": running,
            "paused": paused,
            "stopped": len(states) - running - paused,
        }
