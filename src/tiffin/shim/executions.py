"""The further processes of a container, each with its streams."""

import os
from collections.abc import Callable

from tiffin.errors import NotFound
from tiffin.runtime.runtime import Task
from tiffin.shim import protocol
from tiffin.shim.clients import Clients
from tiffin.shim.loop import Loop
from tiffin.shim.streams import Buffer
from tiffin.shim.supervised import Supervised, Wiring, launch

EXEC_DRAIN_S = 2.0
"""As Docker waits for the output of an exec whose children keep it open."""


class Executions:
    """Makes them; `on_ended` gets id and exit code of each whose output is through."""

    def __init__(
        self, loop: Loop, buffer: Buffer, clients: Clients, on_ended: Callable[[str, int], None]
    ) -> None:
        self._loop = loop
        self._buffer = buffer
        self._clients = clients
        self._on_ended = on_ended
        self._running: dict[str, Supervised] = {}

    def __bool__(self) -> bool:
        return bool(self._running)

    def find(self, exec_id: str) -> Supervised:
        """Return one that has not ended; NotFound."""
        try:
            return self._running[exec_id]
        except KeyError:
            raise NotFound(f"No such exec instance: {exec_id}") from None

    def pids(self) -> dict[str, int]:
        """Return the process of each."""
        return {name: execution.pid for name, execution in self._running.items()}

    def check_exits(self) -> None:
        """Collect those that have ended."""
        for execution in tuple(self._running.values()):
            execution.check_exit()

    def run(self, task: Task, request: protocol.Exec, fds: list[int]) -> int:
        """Run one more process in the container; return its pid."""
        wants = request.client
        wiring = Wiring(
            stdin=wants is not None and wants.stdin,
            stdout=wants is not None and wants.stdout,
            stderr=wants is not None and wants.stderr,
            stdin_once=True,
            terminal=request.terminal,
            rows=request.rows,
            columns=request.columns,
        )
        process, ends = launch(wiring, lambda stdio: task.exec(request.process, stdio))
        execution = Supervised(
            self._loop,
            self._buffer,
            wiring,
            process,
            ends,
            log=None,
            drain_s=EXEC_DRAIN_S,
            on_exit=lambda _code, pidfd: os.close(pidfd),
            on_ended=lambda code: self._ended(request.id, code),
        )
        self._running[request.id] = execution
        execution.watch()
        if wants is not None:
            execution.add(self._clients.make(wants, fds.pop(0), execution.remove))
        return execution.pid

    def _ended(self, exec_id: str, code: int) -> None:
        self._running.pop(exec_id, None)
        self._clients.discarded()
        self._on_ended(exec_id, code)
