"""Tasks: makes them through the spawner, and finds those of an earlier daemon."""

import asyncio
import json
import os
import signal
import socket
import time
import weakref
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path

from tiffin.engine.roots import Roots
from tiffin.engine.tasks.contract import Exit, OciBinary, TaskRequest
from tiffin.engine.tasks.discarded import Discarded
from tiffin.engine.tasks.handle import EXIT_LOST, Handle
from tiffin.engine.tasks.oom import OomWatch
from tiffin.engine.tasks.spawner import Spawner
from tiffin.errors import Unavailable
from tiffin.linux import pidfd as processes
from tiffin.linux.cgroups.group import Group
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.linux.cgroups.layout import detect
from tiffin.shim import protocol, state
from tiffin.shim.protocol import ClientOptions
from tiffin.spec.ids import ContainerId

DEFAULT_RUNTIME = "tiffin.runtime.own:OwnRuntime"
STANDING_GROUP = "standing"
KILL_TIMEOUT_S = 5.0
KEEP_S = 5.0
"""How long the record of an end is kept that was read: so long a daemon may take to store it."""
_LEFT = (state.STATE, state.EXIT, state.SOCKET, state.FAULTS)


class Tasks:
    """See `TaskService` in the contract. `runtime` names the runtime as `module:Class`."""

    def __init__(self, roots: Roots, *, runtime: str = DEFAULT_RUNTIME) -> None:
        self._roots = roots
        self._spawner = Spawner(runtime, roots.data / "seccomp")
        self._handles: weakref.WeakSet[Handle] = weakref.WeakSet()
        self._ended: set[Path] = set()
        self._oom = OomWatch()
        self._discarded = Discarded(roots.discarded)
        self._layout = cache(detect)

    @property
    def spawner_pid(self) -> int:
        """Process id of the spawner, 0 if there is none now."""
        return self._spawner.pid

    async def start(self) -> None:
        """Warm the spawner up."""
        self._roots.tasks.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._spawner.start()
        await self._discarded.start()
        with suppress(OSError):  # the first container tells what is wrong
            await asyncio.to_thread(self._standing_group().create, {}, _ignore)

    async def close(self) -> None:
        """Leave all tasks running and end the spawner."""
        for handle in tuple(self._handles):
            handle.close()
        self._handles.clear()
        self._oom.close()
        for directory in tuple(self._ended):
            self._forget(directory)
        await self._spawner.close()
        await self._discarded.close()
        with suppress(OSError):
            await asyncio.to_thread(self._standing_group().remove)

    def ids(self) -> list[ContainerId]:
        """Return the containers of which something is left, live or not."""
        try:
            return [ContainerId(name) for name in sorted(os.listdir(self._roots.tasks))]
        except FileNotFoundError:
            return []

    async def create(self, request: TaskRequest) -> Handle:
        """Make a task up to the point before its program; nothing is left if it fails."""
        for name in _LEFT:
            with suppress(FileNotFoundError):
                (request.bundle / name).unlink()
        self._ended.discard(request.bundle)
        try:
            try:
                return await self._create(request)
            except Unavailable:
                # The spawner or the shim died with the request; there is another one by now.
                await asyncio.to_thread(clean_up, request.bundle, self._cgroup(request.id))
                return await self._create(request)
        except BaseException:
            self._discarded.add(request.bundle)
            raise

    async def recover(self, container_id: ContainerId) -> Handle | Exit | None:
        """Return the live task, how it ended meanwhile, or None if nothing is known of it."""
        directory = self._roots.task(container_id)
        ended = self._read_end(directory)
        if ended is not None:
            return ended
        handle = await self._reconnect(container_id, directory)
        if handle is not None:
            return handle
        ended = self._read_end(directory)
        if ended is not None:
            return ended
        known = state.read_state(str(directory))
        if directory.exists():
            await asyncio.to_thread(clean_up, directory, self._cgroup(container_id))
            self._discarded.add(directory)
        if known is None or known.phase == state.CREATED:
            return None
        return Exit(EXIT_LOST, time.time_ns(), error="the task's shim ended unexpectedly")

    async def _create(self, request: TaskRequest) -> Handle:
        channel = await self._spawner.fork(request.id)
        handle = self._handle(request.id, request.bundle, channel, request.cgroup)
        await handle.create(
            lambda seq, clients: _create_message(seq, request, clients),
            request.attachments,
            request.explain,
        )
        return handle

    def _handle(
        self, container_id: ContainerId, directory: Path, channel: socket.socket, cgroup: str = ""
    ) -> Handle:
        async def clean_up_lost() -> None:
            await asyncio.to_thread(clean_up, directory, self._cgroup(container_id))

        def find_group() -> Group:
            path = cgroup or _cgroup_path(directory) or self._cgroup(container_id)
            return open_group(path, self._layout())

        handle = Handle(
            channel, directory, clean_up_lost, find_group, self._oom, self._discarded.add
        )
        self._handles.add(handle)
        return handle

    async def _reconnect(self, container_id: ContainerId, directory: Path) -> Handle | None:
        try:
            channel = state.connect(str(directory))
        except OSError:
            return None
        handle = self._handle(container_id, directory, channel)
        try:
            phase = await handle.resync()
        except Unavailable:
            return None
        if phase == state.RUNNING:
            return handle
        await handle.delete()
        return None

    def _read_end(self, directory: Path) -> Exit | None:
        record = state.read_exit(str(directory))
        if record is None:
            return None
        if directory not in self._ended:
            self._ended.add(directory)
            asyncio.get_running_loop().call_later(KEEP_S, self._forget, directory)
        return Exit(**asdict(record))

    def _forget(self, directory: Path) -> None:
        if directory in self._ended:
            self._ended.discard(directory)
            self._discarded.add(directory)

    def _standing_group(self) -> Group:
        """Return an empty group: the parent of all lasts as long as it, and is not made each time."""
        return open_group(f"/{self._roots.tag}/{STANDING_GROUP}")

    def _cgroup(self, container_id: ContainerId) -> str:
        return f"/{self._roots.tag}/{container_id}"


def _ignore(_warning: str) -> None:
    return


def clean_up(directory: Path, default_cgroup: str) -> None:
    """Kill what a dead shim has left of its task, and remove its cgroups; OSError."""
    known = state.read_state(str(directory))
    if known is not None:
        _kill(known)
    open_group(_cgroup_path(directory) or default_cgroup).remove()


def _kill(known: state.TaskState) -> None:
    """Kill init, unless its number is another process's by now, and wait for its end."""
    try:
        pidfd = os.pidfd_open(known.pid)
    except ProcessLookupError:
        return
    try:
        if state.start_time(known.pid) == known.start_time:
            processes.send_signal(pidfd, signal.SIGKILL)
            processes.has_ended(pidfd, KILL_TIMEOUT_S)
    finally:
        os.close(pidfd)


def _cgroup_path(directory: Path) -> str:
    try:
        config = json.loads((directory / "config.json").read_bytes())
        return str(config["linux"]["cgroupsPath"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _create_message(
    seq: int, request: TaskRequest, clients: list[ClientOptions]
) -> protocol.Create:
    return protocol.Create(
        seq=seq,
        id=request.id,
        bundle=str(request.bundle),
        log_driver=request.log.driver,
        log_path=str(request.log.path),
        log_options=request.log.options,
        log_attributes=request.log.attributes,
        terminal=request.terminal,
        rows=request.rows,
        columns=request.columns,
        open_stdin=request.open_stdin,
        stdin_once=request.stdin_once,
        init_process=request.init_process,
        new_network=request.new_network,
        dns_names=None if request.dns is None else str(request.dns.names),
        dns_upstreams=[] if request.dns is None else list(request.dns.upstreams),
        explain=request.explain is not None,
        clients=clients,
        log_source=request.log.source,
        runtime=_runtime(request.runtime),
    )


def _runtime(binary: OciBinary | None) -> protocol.RuntimeOptions | None:
    if binary is None:
        return None
    return protocol.RuntimeOptions(binary.name, binary.path, list(binary.arguments))
