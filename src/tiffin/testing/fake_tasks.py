"""Tasks without processes, which tests end when they like."""
# ruff: noqa: D102  # the methods are those of the contract

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from tiffin.engine.tasks.contract import (
    Attachment,
    ExecHandle,
    ExecRequest,
    Exit,
    Forward,
    TaskHandle,
    TaskRequest,
)
from tiffin.errors import Conflict, FailedPrecondition
from tiffin.networks.driver import Sandbox
from tiffin.spec.ids import ContainerId


class FakeExec:
    """An exec that ends when `end` is called."""

    def __init__(self, request: ExecRequest) -> None:
        self.request = request
        self.pid = os.getpid()
        self.size = (request.rows, request.columns)
        self.signals: list[int] = []
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end(self, code: int = 0) -> None:
        """Let it end."""
        if not self._code.done():
            self._code.set_result(code)

    async def wait(self) -> int:
        return await asyncio.shield(self._code)

    async def resize(self, rows: int, columns: int) -> None:
        self.size = (rows, columns)

    async def kill(self, signal: int) -> None:
        self.signals.append(signal)
        self.end(128 + signal)


class FakeHandle:
    """A task that ends on SIGKILL, on one of `deadly` signals, or when `end` is called."""

    def __init__(self, request: TaskRequest, deadly: Sequence[int] = (15,)) -> None:
        self.request = request
        self.deadly = {*deadly, 9}
        self.pid = os.getpid()
        self.started_ns = 0
        self.warnings: tuple[str, ...] = ()
        self.sandbox: Sandbox | None = None
        self.start_error: Exception | None = None
        self.exec_error: Exception | None = None
        self.signals: list[int] = []
        self.attached: list[Attachment] = list(request.attachments)
        self.execs: list[FakeExec] = []
        self.resources: list[dict[str, Any]] = []
        self.is_frozen = False
        self.run_out_of_memory: Callable[[], None] | None = None
        self.is_deleted = False
        self.size = (request.rows, request.columns)
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    def end(self, code: int = 0, *, oom_killed: bool = False, error: str = "") -> None:
        """Let the program end."""
        if not self._exit.done():
            self._exit.set_result(Exit(code, time.time_ns(), oom_killed, error))

    async def start(self, forwards: Sequence[Forward] = ()) -> None:
        del forwards
        if self.start_error is not None:
            raise self.start_error
        self.started_ns = time.time_ns()

    async def open_sandbox(self) -> Sandbox | None:
        return None

    async def attach(self, attachment: Attachment) -> None:
        self._check()
        self.attached.append(attachment)

    async def exec(self, request: ExecRequest) -> ExecHandle:
        self._check()
        if self.exec_error is not None:
            raise self.exec_error
        self.execs.append(FakeExec(request))
        return self.execs[-1]

    async def kill(self, signal: int, *, every: bool = False) -> None:
        del every
        self._check()
        self.signals.append(signal)
        if signal in self.deadly and not self.is_frozen:
            self.end(128 + signal)

    async def resize(self, rows: int, columns: int) -> None:
        self._check()
        self.size = (rows, columns)

    async def pause(self) -> None:
        self._check()
        self.is_frozen = True

    async def resume(self) -> None:
        self._check()
        self.is_frozen = False
        for signal in self.signals:
            if signal in self.deadly:
                self.end(128 + signal)

    async def update(self, resources: dict[str, Any]) -> None:
        self._check()
        self.resources.append(resources)

    async def stats(self) -> dict[str, Any]:
        self._check()
        return {
            "memory": {"usage": 4096, "limit": 0, "stats": {"inactive_file": 1}},
            "cpu": {"total_ns": 10, "user_ns": 6, "kernel_ns": 4},
            "pids": {"current": 1, "limit": 0},
        }

    def stands_paused(self) -> bool:
        return self.is_frozen

    def watch_oom(self, notify: Callable[[], None]) -> bool:
        self.run_out_of_memory = notify
        return False

    async def wait(self) -> Exit:
        return await asyncio.shield(self._exit)

    async def delete(self) -> None:
        self.is_deleted = True
        self.end(137)

    def _check(self) -> None:
        if self._exit.done():
            raise Conflict("the task is not running")


class FakeTasks:
    """A task service that keeps every handle it made, newest last.

    `left` is what `recover` finds of an earlier daemon.
    """

    def __init__(self) -> None:
        self.handles: list[FakeHandle] = []
        self.left: dict[str, TaskHandle | Exit] = {}
        self.create_error: Exception | None = None
        self.start_error: Exception | None = None
        self.deadly: tuple[int, ...] = (15,)

    @property
    def last(self) -> FakeHandle:
        """The task made last."""
        return self.handles[-1]

    async def create(self, request: TaskRequest) -> TaskHandle:
        if self.create_error is not None:
            raise self.create_error
        if not (request.bundle / "config.json").exists():
            raise FailedPrecondition("there is no config.json")
        handle = FakeHandle(request, self.deadly)
        handle.start_error = self.start_error
        self.handles.append(handle)
        return handle

    async def recover(self, container_id: ContainerId) -> TaskHandle | Exit | None:
        return self.left.get(container_id)
