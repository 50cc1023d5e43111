"""A live task as the engine sees it: the client of one shim."""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tiffin.engine.tasks.connection import Connection
from tiffin.engine.tasks.contract import Attachment, ExecRequest, Exit, Forward
from tiffin.engine.tasks.oom import OomWatch
from tiffin.errors import Conflict, Unavailable
from tiffin.linux.cgroups.group import Group
from tiffin.networks.driver import Sandbox
from tiffin.shim import protocol, state
from tiffin.shim.protocol import ClientOptions, ForwardOptions, Message, close_all

log = logging.getLogger(__name__)

EXIT_LOST = 137
"""What a task counts as that ended unseen: its processes are killed when that is noticed."""

CleanUp = Callable[[], Awaitable[None]]


class Exec:
    """A running exec."""

    def __init__(self, task: "Handle", exec_id: str) -> None:
        self._task = task
        self._id = exec_id
        self._pid = 0
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int:
        """Process id in the host's namespace."""
        return self._pid

    async def wait(self) -> int:
        """Return its exit code."""
        return await asyncio.shield(self._code)

    async def resize(self, rows: int, columns: int) -> None:
        """Set its terminal's size."""
        await self._task.call(lambda seq: protocol.Resize(seq, rows, columns, self._id))

    async def kill(self, signal: int) -> None:
        """Signal it."""
        await self._task.call(lambda seq: protocol.Kill(seq, signal, exec=self._id))

    def started(self, pid: int) -> None:
        """Note the process id."""
        self._pid = pid

    def ended(self, code: int) -> None:
        """Note the exit code."""
        if not self._code.done():
            self._code.set_result(code)


class Handle:
    """See `TaskHandle` in the contract.

    `clean_up` kills and removes what a shim that died has left in the kernel; `find_group` tells
    the task's cgroup, which the daemon reads itself: asking would wake the shim's keeper up. `discard`
    removes the task's directory.
    """

    def __init__(
        self,
        channel: socket.socket,
        directory: Path,
        clean_up: CleanUp,
        find_group: Callable[[], Group],
        oom: OomWatch,
        discard: Callable[[Path], None],
    ) -> None:
        self._directory = directory
        self._clean_up = clean_up
        self._find_group = find_group
        self._found_group: Group | None = None
        self._oom = oom
        self._discard = discard
        self._connection = Connection(channel, self._on_event, self._on_lost)
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._execs: dict[str, Exec] = {}
        self._detached: dict[int, Callable[[], None] | None] = {}
        self._explain: Callable[[str], None] | None = None
        self._warnings: list[str] = []
        self._sandbox: Sandbox | None = None
        self._pid = 0
        self._started_ns = 0
        self._last_client = 0
        self._cleaning: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Init's process id in the host's namespace."""
        return self._pid

    @property
    def started_ns(self) -> int:
        """Unix time in ns at which the user's program was executed; 0 before."""
        return self._started_ns

    @property
    def warnings(self) -> tuple[str, ...]:
        """Limits that the host could not grant."""
        return tuple(self._warnings)

    @property
    def sandbox(self) -> Sandbox | None:
        """Sockets of the new network namespace, until `start` has returned; then None."""
        return self._sandbox

    # What the service calls

    async def create(
        self,
        make: Callable[[int, list[ClientOptions]], Message],
        attachments: Sequence[Attachment],
        explain: Callable[[str], None] | None,
    ) -> None:
        """Have the shim make its task; on any error this handle is closed."""
        self._explain = explain
        clients = [self._client(attachment) for attachment in attachments]
        try:
            result, fds = await self._connection.call(
                lambda seq: make(seq, clients), [attachment.fd for attachment in attachments]
            )
        except BaseException:
            self._connection.close()
            raise
        self._pid = int(result["pid"])
        self._sandbox = _sandbox(result, fds)

    async def resync(self) -> str:
        """Learn from the shim how the task is; return its phase."""
        result, fds = await self._connection.call(protocol.Hello)
        close_all(fds)
        self._pid = int(result["pid"])
        self._started_ns = int(result["started_ns"])
        self._warnings = list(result["warnings"])
        return str(result["phase"])

    def close(self) -> None:
        """Leave the task alone; it goes on without this daemon."""
        self._connection.close()
        self._close_sandbox()
        self._oom.forget(self)

    # What use-cases call

    async def start(self, forwards: Sequence[Forward] = ()) -> None:
        """Execute the user's program; FailedPrecondition with the reason if it cannot be."""
        options = [ForwardOptions(f.protocol, f.target_ip, f.target_port) for f in forwards]
        try:
            result, _fds = await self._connection.call(
                lambda seq: protocol.Start(seq, options), [f.fd for f in forwards]
            )
        except BaseException:
            await self.delete()
            raise
        finally:
            self._close_sandbox()
        self._started_ns = int(result["started_ns"])

    async def open_sandbox(self) -> Sandbox | None:
        """Return new descriptors of the live task's own network namespace, or None."""
        return _sandbox(*await self.call(protocol.Network))

    async def attach(self, attachment: Attachment) -> None:
        """Give the shim one more client."""
        client = self._client(attachment)
        await self.call(lambda seq: protocol.Attach(seq, client), [attachment.fd])

    async def exec(self, request: ExecRequest) -> Exec:
        """Run another process in the container; FailedPrecondition if it cannot be executed."""
        attachment = request.attachment
        client = None if attachment is None else self._client(attachment)
        execution = Exec(self, request.id)
        self._execs[request.id] = execution
        try:
            result, _fds = await self.call(
                lambda seq: protocol.Exec(
                    seq,
                    request.id,
                    request.process,
                    request.terminal,
                    request.rows,
                    request.columns,
                    client,
                ),
                [] if attachment is None else [attachment.fd],
            )
        except BaseException:
            self._execs.pop(request.id, None)
            raise
        execution.started(int(result["pid"]))
        return execution

    async def kill(self, signal: int, *, every: bool = False) -> None:
        """Signal init, or all processes."""
        await self.call(lambda seq: protocol.Kill(seq, signal, every))

    async def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size."""
        await self.call(lambda seq: protocol.Resize(seq, rows, columns))

    async def pause(self) -> None:
        """Freeze all processes."""
        await self.call(protocol.Pause)

    async def resume(self) -> None:
        """Thaw."""
        await self.call(protocol.Resume)

    async def update(self, resources: dict[str, Any]) -> None:
        """Apply an OCI `linux.resources` object."""
        await self.call(lambda seq: protocol.Update(seq, resources))

    async def stats(self) -> dict[str, Any]:
        """Return raw cgroup figures."""
        if self._exit.done():
            raise Conflict("the task is not running")
        return await asyncio.to_thread(self._group.stats)

    def stands_paused(self) -> bool:
        """Tell whether the task stands paused. Blocking, and short."""
        return self._group.is_frozen()

    def watch_oom(self, notify: Callable[[], None]) -> bool:
        """Call back whenever memory runs out; return whether it has already."""
        return not self._exit.done() and self._oom.watch(self, self._group, notify)

    @property
    def _group(self) -> Group:
        if self._found_group is None:
            self._found_group = self._find_group()
        return self._found_group

    async def wait(self) -> Exit:
        """Return how it ended; any number of callers."""
        return await asyncio.shield(self._exit)

    async def delete(self) -> None:
        """Kill what is left; remove cgroups and the task directory. Idempotent."""
        if self._connection.is_open and not self._exit.done():
            try:
                await self._connection.call(protocol.Delete)
            except Unavailable:
                pass  # the shim is gone, and what it left is being cleaned up
        if self._cleaning is not None:
            await self._cleaning
        self.close()
        if not self._exit.done():
            self._end(Exit(EXIT_LOST, time.time_ns(), error="the task was deleted"))
        self._tell_faults()
        self._discard(self._directory)

    def _tell_faults(self) -> None:
        """Log what the shim noted that nobody could be told of."""
        try:
            text = (self._directory / state.FAULTS).read_text(errors="replace")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            log.warning("container %s: %s", self._directory.name, line)

    async def call(
        self, make: Callable[[int], Message], fds: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """Ask the shim; Conflict if the task has ended."""
        if self._exit.done():
            raise Conflict("the task is not running")
        try:
            return await self._connection.call(make, fds)
        except Unavailable as error:
            raise Conflict("the task is not running") from error

    def _client(self, attachment: Attachment) -> ClientOptions:
        if not self._last_client:
            # Clients of an earlier daemon may still be there: their numbers are not used again.
            self._last_client = int.from_bytes(os.urandom(5), "big") << 12
        self._last_client += 1
        if attachment.on_detached is not None:
            self._detached[self._last_client] = attachment.on_detached
        return ClientOptions(
            self._last_client,
            attachment.stdin,
            attachment.stdout,
            attachment.stderr,
            attachment.framed,
            "" if attachment.framed else attachment.detach_keys.hex(),
            attachment.prefix.hex(),
        )

    def _close_sandbox(self) -> None:
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            os.close(sandbox.netns)
            sandbox.rtnetlink.close()
            sandbox.nfnetlink.close()

    # What the shim reports

    def _on_event(self, message: Message) -> None:
        if isinstance(message, protocol.Explained):
            if self._explain is not None:
                self._explain(message.line)
        elif isinstance(message, protocol.Warned):
            self._warnings.append(message.line)
        elif isinstance(message, protocol.ExecExited):
            execution = self._execs.pop(message.id, None)
            if execution is not None:
                execution.ended(message.code)
        elif isinstance(message, protocol.Detached):
            callback = self._detached.pop(message.client, None)
            if callback is not None:
                callback()
        elif isinstance(message, protocol.Exited):
            self._connection.send(protocol.Bye())
            self._end(Exit(**asdict(message)))

    def _end(self, result: Exit) -> None:
        self._oom.forget(self)
        if not self._exit.done():
            self._exit.set_result(result)
        self._detached.clear()
        for execution in self._execs.values():
            execution.ended(EXIT_LOST)
        self._execs.clear()

    def _on_lost(self) -> None:
        self._close_sandbox()
        if self._exit.done():
            return
        record = state.read_exit(str(self._directory))
        if record is not None:
            self._end(Exit(**asdict(record)))
        elif self._pid:
            self._cleaning = asyncio.create_task(self._clean_up_lost())

    async def _clean_up_lost(self) -> None:
        error = "the task's shim ended unexpectedly"
        try:
            await self._clean_up()
        except OSError as failure:
            error = f"{error}, and what it left could not be removed: {failure}"
        self._end(Exit(EXIT_LOST, time.time_ns(), error=error))


def _sandbox(result: dict[str, Any], fds: list[int]) -> Sandbox | None:
    if len(fds) != 3:
        close_all(fds)
        return None
    netns, rtnetlink, nfnetlink = fds
    return Sandbox(
        netns,
        socket.socket(fileno=rtnetlink),
        socket.socket(fileno=nfnetlink),
        int(result.get("dns_udp_port", 0)),
        int(result.get("dns_tcp_port", 0)),
    )
