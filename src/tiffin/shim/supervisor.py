"""The shim: it makes one task, owns its streams, log and exit status, and outlives the daemon.

Phases: nothing → created → running → exited, or → gone if it never ran. Where the last channel of a
daemon closes before `running`, the task is taken back; after that the shim goes on alone until the
task has ended, its record is written, and its clients have all their output.

A running task that nobody is attached to is handed over to the shim's keeper (`keeper.py`), which
has used next to no memory yet; it becomes a supervisor when something happens.
"""

import os
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tiffin.errors import Conflict, InvalidArgument
from tiffin.runtime.runtime import (
    CreateOptions,
    Process,
    Runtime,
    Stdio,
    Task,
)
from tiffin.shim import protocol, state
from tiffin.shim.channel import Channel
from tiffin.shim.clients import Clients
from tiffin.shim.daemons import Daemons, Reply
from tiffin.shim.executions import Executions
from tiffin.shim.faults import Faults
from tiffin.shim.log import Log, open_log
from tiffin.shim.loop import Loop
from tiffin.shim.protocol import Message
from tiffin.shim.sandbox import Sandbox
from tiffin.shim.state import ExitRecord, TaskState
from tiffin.shim.stdio import Ends
from tiffin.shim.streams import Buffer
from tiffin.shim.supervised import Supervised, Wiring, launch

MAIN_DRAIN_S = 0.5
"""Once no process of the container is left, its pipes end at once, unless it gave them away."""

SETTLE_S = 0.25
"""How long a task must have been quiet to be handed over."""


GONE = "gone"


class Supervisor:
    """Handles the messages of daemons and the events of one task, until it stops the loop.

    `keeper` is the socket of the process that may go on in its place.
    """

    def __init__(self, loop: Loop, runtime: Runtime, keeper: socket.socket | None = None) -> None:
        self._loop = loop
        self._faults = Faults()
        loop.on_fault = self._faults.note
        self._keeper = keeper
        self._is_settling = False
        self._request: protocol.Create | None = None
        self._runtime = runtime
        self._buffer = Buffer(loop)
        self._daemons = Daemons(
            loop,
            self._faults,
            self._answer,
            on_answered=self._on_answered,
            on_left=self._on_left,
        )
        self._clients = Clients(
            loop,
            lambda client: self._daemons.broadcast(protocol.Detached(client)),
            self._check_done,
        )
        self._executions = Executions(loop, self._buffer, self._clients, self._on_exec_ended)
        self._sandbox = Sandbox(loop)
        self._deletions: list[tuple[Channel, int]] = []
        self._warnings: list[str] = []
        self._directory = "/"
        self._phase = ""
        self._started_ns = 0
        self._oom_killed = False
        self._adopt_task: Callable[[], Task] | None = None
        self._error = ""
        self._exit: ExitRecord | None = None
        self._task: Task | None = None
        self._main: Supervised | None = None
        self._log: Log | None = None
        self._handlers: dict[type[Any], Callable[[Any, list[int]], Reply]] = {
            protocol.Start: self._start,
            protocol.Attach: self._attach,
            protocol.Exec: self._exec,
            protocol.Kill: self._kill,
            protocol.Resize: self._resize,
            protocol.Pause: self._pause,
            protocol.Resume: self._resume,
            protocol.Update: self._update,
            protocol.Network: lambda _request, _fds: self._sandbox.reply(),
            protocol.Hello: lambda _request, _fds: self._hello(),
        }

    def adopt(self, connection: socket.socket) -> None:
        """Serve one more daemon."""
        self._daemons.adopt(connection)

    # Messages

    def _answer(self, channel: Channel, message: Message, fds: list[int]) -> Reply | None:
        if isinstance(message, protocol.Create):
            return self._create(channel, message, fds)
        if isinstance(message, protocol.Delete):
            return ({}, ()) if self._delete(channel, message) else None
        handler = self._handlers.get(type(message))
        if handler is None:
            raise InvalidArgument(f"unexpected message {type(message).__name__}")
        return handler(message, fds)

    def _on_answered(self, channel: Channel, message: Message) -> None:
        if isinstance(message, protocol.Hello) and self._exit is not None:
            channel.send(_exited(self._exit))
        self._check_done()

    def _on_left(self, channel: Channel) -> None:
        self._deletions = [entry for entry in self._deletions if entry[0] is not channel]
        if not self._daemons and self._phase in ("", state.CREATED):
            self._take_back()
        self._check_done()

    # Creation

    def _create(self, channel: Channel, request: protocol.Create, fds: list[int]) -> Reply:
        if self._phase:
            raise Conflict("the shim has made its task already")
        self._request = request
        self._directory = self._faults.directory = request.bundle
        try:
            wiring = _main_wiring(request)
            process, ends = launch(wiring, lambda io: self._make_task(channel, request, io))
            # The child makes its file system meanwhile.
            self._daemons.listen(request.bundle)
            self._open_log(request)
            self._main = self._supervise(request, wiring, process, ends)
            self._sandbox.serve_names(request)
            self._phase = state.CREATED
            self._write_state()
            for options in request.clients:
                self._main.add(self._clients.make(options, fds.pop(0), self._main.remove))
        except BaseException:
            self._take_back()
            raise
        pid = self._main.pid
        result, network_fds = self._sandbox.reply()
        return {"pid": pid, "warnings": self._warnings, **result}, network_fds

    def _open_log(self, request: protocol.Create, relay_fd: int | None = None) -> None:
        self._log = open_log(request, self._loop, relay_fd)
        has_directory = os.path.isdir(request.log_path)
        self._clients.directory = request.log_path if has_directory else request.bundle

    def _supervise(
        self, request: protocol.Create, wiring: Wiring, process: Process, ends: Ends
    ) -> Supervised:
        assert self._log is not None
        return Supervised(
            self._loop,
            self._buffer,
            wiring,
            process,
            ends,
            log=self._log if request.log_driver != "none" else None,
            drain_s=MAIN_DRAIN_S,
            on_exit=self._on_main_exit,
            on_ended=self._on_main_ended,
        )

    def _make_task(self, channel: Channel, request: protocol.Create, stdio: Stdio) -> Process:
        options = self._options(request, channel if request.explain else None)
        runtime = self._runtime_of(request)
        self._task = runtime.create(request.id, Path(request.bundle), stdio, options)
        self._sandbox.take(self._task.network)
        return self._task.init

    def _runtime_of(self, request: protocol.Create) -> Runtime:
        choice = request.runtime
        if choice is None:
            return self._runtime
        from tiffin.runtime.oci_binary import BinaryRuntime  # few containers need it
        from tiffin.runtime.oci_command import Binary

        return BinaryRuntime(Binary(choice.name, choice.path, tuple(choice.arguments)))

    def _options(self, request: protocol.Create, channel: Channel | None) -> CreateOptions:
        def warn(line: str) -> None:
            self._warnings.append(line)
            self._daemons.broadcast(protocol.Warned(line))

        def explain(line: str) -> None:
            if channel is not None:
                channel.send(protocol.Explained(line))

        return CreateOptions(
            network_sockets=request.new_network,
            dns_sockets=request.new_network and request.dns_names is not None,
            init_process=request.init_process,
            explain=explain if channel is not None else None,
            warn=warn,
        )

    def _start(self, request: protocol.Start, fds: list[int]) -> Reply:
        if self._phase != state.CREATED or self._task is None or self._main is None:
            raise Conflict("the task is not in the state to be started")
        try:
            for options in request.forwards:
                self._sandbox.forward(options, fds.pop(0))
            self._task.start()
        except BaseException:
            self._take_back()
            raise
        self._phase = state.RUNNING
        self._started_ns = time.time_ns()
        self._write_state()
        self._main.watch()
        return {"started_ns": self._started_ns}, ()

    def _take_back(self) -> None:
        """Remove a task that never ran."""
        if self._phase == GONE:
            return
        self._phase = GONE
        if self._task is not None:
            self._quietly(self._task.delete)
        if self._main is not None:
            self._main.abandon()
        self._sandbox.close()
        if self._log is not None:
            self._log.close()
        self._daemons.stop_listening()

    # A running task

    def _running_task(self) -> Task:
        if self._phase not in (state.CREATED, state.RUNNING):
            raise Conflict("the task is not running")
        if self._task is None:
            assert self._adopt_task is not None
            self._task = self._adopt_task()
        return self._task

    def _attach(self, request: protocol.Attach, fds: list[int]) -> Reply:
        main = self._process("")
        main.add(self._clients.make(request.client, fds.pop(0), main.remove))
        return {}, ()

    def _exec(self, request: protocol.Exec, fds: list[int]) -> Reply:
        return {"pid": self._executions.run(self._running_task(), request, fds)}, ()

    def _on_exec_ended(self, exec_id: str, code: int) -> None:
        self._daemons.broadcast(protocol.ExecExited(exec_id, code))
        self._check_done()

    def _process(self, exec_id: str) -> Supervised:
        if self._phase not in (state.CREATED, state.RUNNING):
            raise Conflict("the task is not running")
        if exec_id:
            return self._executions.find(exec_id)
        assert self._main is not None
        return self._main

    def _kill(self, request: protocol.Kill, _fds: list[int]) -> Reply:
        is_foreign = self._request is not None and self._request.runtime is not None
        if request.every or (is_foreign and not request.exec):
            self._running_task().kill(request.signal, every=request.every)
        else:
            self._process(request.exec).signal(request.signal)
        return {}, ()

    def _resize(self, request: protocol.Resize, _fds: list[int]) -> Reply:
        self._process(request.exec).resize(request.rows, request.columns)
        return {}, ()

    def _pause(self, _request: protocol.Pause, _fds: list[int]) -> Reply:
        self._running_task().pause()
        return {}, ()

    def _resume(self, _request: protocol.Resume, _fds: list[int]) -> Reply:
        self._running_task().resume()
        return {}, ()

    def _update(self, request: protocol.Update, _fds: list[int]) -> Reply:
        self._running_task().update(request.resources)
        return {}, ()

    def _hello(self) -> Reply:
        return {
            "phase": self._phase,
            "pid": self._main.pid if self._main is not None else 0,
            "started_ns": self._started_ns,
            "warnings": self._warnings,
            "execs": self._executions.pids(),
        }, ()

    def _delete(self, channel: Channel, request: protocol.Delete) -> bool:
        """Kill the task; whether that is done already (else the answer comes later)."""
        if self._phase == state.RUNNING:
            self._deletions.append((channel, request.seq))
            self._running_task().kill(signal.SIGKILL, every=True)
            return False
        if self._phase in ("", state.CREATED):
            self._take_back()
        return True

    # The end

    def _on_main_exit(self, _code: int, _pidfd: int) -> None:
        self._quietly(self._note_oom)
        self._quietly(lambda: self._running_task().delete())  # closes the pidfd
        self._executions.check_exits()
        self._sandbox.close()

    def _note_oom(self) -> None:
        self._oom_killed = self._running_task().oom_kills() > 0

    def _on_main_ended(self, code: int) -> None:
        self._phase = state.EXITED
        assert self._log is not None
        self._log.close()
        self._error = self._error or self._log.error
        self._exit = ExitRecord(code, time.time_ns(), self._oom_killed, self._error)
        self._quietly(self._write_exit)
        self._daemons.broadcast(_exited(self._exit))
        for channel, seq in self._deletions:
            channel.send(protocol.Done(seq))
        self._deletions = []
        self._check_done()

    def _write_exit(self) -> None:
        assert self._exit is not None
        state.write_exit(self._directory, self._exit)

    def _check_done(self) -> None:
        is_over = self._phase in (state.EXITED, GONE)
        if is_over and not (self._daemons or self._clients or self._executions):
            self._loop.stop()
        elif self._keeper is not None and not self._is_settling and self._phase == state.RUNNING:
            self._is_settling = True
            self._loop.call_later(SETTLE_S, self._settle)

    # The keeper

    def _settle(self) -> None:
        self._is_settling = False
        if self._keeper is None or not self._is_quiet():
            return
        message, fds = self._handover()
        try:
            for packet in protocol.encode(message, fds):
                protocol.send_packet(self._keeper, packet)
        except OSError:
            self._keeper = None  # it was killed: this process stays
        else:
            self._loop.stop()

    def _is_quiet(self) -> bool:
        return (
            self._phase == state.RUNNING
            and self._main is not None
            and self._main.is_quiet
            and not (self._clients or self._executions or self._deletions)
            and self._daemons.is_quiet
            and self._sandbox.is_quiet
            and self._log is not None
            and self._log.is_idle
        )

    def _handover(self) -> tuple[protocol.Handover, list[int]]:
        assert self._request is not None
        assert self._main is not None
        assert self._log is not None
        named = list(self._main.descriptors().items())
        named += self._sandbox.descriptors()
        named += self._daemons.descriptors()
        named.append(("log", self._log.relay_fd))
        named = [(name, fd) for name, fd in named if fd >= 0]
        message = protocol.Handover(
            protocol.plain(self._request),
            self._main.pid,
            self._started_ns,
            self._warnings,
            self._sandbox.options,
            [name for name, _fd in named],
        )
        return message, [fd for _name, fd in named]

    def resume(self, message: protocol.Handover, fds: list[int]) -> None:
        """Go on with a task that another process has made."""
        request: protocol.Create = protocol.build(protocol.Create, message.create)
        named: dict[str, list[int]] = defaultdict(list)
        for name, fd in zip(message.names, fds, strict=True):
            named[name].append(fd)
        one = {name: found[0] for name, found in named.items()}
        process = Process(message.pid, one["pidfd"], one.get("console", -1))
        ends = Ends(one.get("stdin", -1), one.get("stdout", -1), one.get("stderr", -1))
        self._request = request
        self._directory = self._faults.directory = request.bundle
        self._phase = state.RUNNING
        self._started_ns = message.started_ns
        self._warnings = list(message.warnings)
        self._sandbox.resume(request, named, message.forwards)
        self._open_log(request, one.get("log", -1))
        self._main = self._supervise(request, _main_wiring(request), process, ends)
        self._adopt_task = lambda: self._runtime_of(request).adopt(
            request.id,
            Path(request.bundle),
            process,
            self._sandbox.sockets,
            self._options(request, None),
        )
        self._daemons.resume(named)
        self._main.watch()

    @property
    def children(self) -> set[int]:
        """Processes that are collected here, each by its own pidfd."""
        found = set(self._executions.pids().values())
        return found | {self._main.pid} if self._main is not None else found

    # The task directory

    def _write_state(self) -> None:
        assert self._main is not None
        pid = self._main.pid
        record = TaskState(pid, state.start_time(pid), self._phase, self._started_ns)
        state.write_state(self._directory, record)

    def _quietly(self, step: Callable[[], object]) -> None:
        """Do a step of the end, which has to go on if it fails; the fault is noted."""
        try:
            step()
        except Exception:  # noqa: BLE001  # whatever it is, the end has to be told
            text = self._faults.note()
            self._error = self._error or text


def _exited(record: ExitRecord) -> protocol.Exited:
    return protocol.Exited(**asdict(record))


def _main_wiring(request: protocol.Create) -> Wiring:
    return Wiring(
        stdin=request.open_stdin,
        stdout=True,
        stderr=True,
        stdin_once=request.stdin_once,
        terminal=request.terminal,
        rows=request.rows,
        columns=request.columns,
    )
