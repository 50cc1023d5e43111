"""One exec, and all execs of this daemon by id."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from tiffin.api.types.exec import ExecCreateRequest
from tiffin.engine.containers.model import Container
from tiffin.engine.tasks.contract import ExecHandle
from tiffin.errors import NotFound
from tiffin.spec.ids import ExecId

FINISHED_KEPT = 64
"""Finished execs of one container that can still be inspected."""


@dataclass(slots=True)
class Execution:
    """One exec. `exit_code` is None until it has ended (or failed to start)."""

    id: ExecId
    container: Container
    request: ExecCreateRequest
    args: list[str]
    detach_keys: bytes
    started: bool = False
    running: bool = False
    exit_code: int | None = None
    pid: int = 0
    handle: ExecHandle | None = None
    supervisor: asyncio.Task[None] | None = None

    def container_ended(self) -> None:
        """Note that the container's processes are gone, and so is this one."""
        if self.running and self.supervisor is None:
            self.running, self.exit_code = False, 137


class Executions:
    """All execs of this daemon, by id."""

    def __init__(self) -> None:
        self._all: OrderedDict[str, Execution] = OrderedDict()

    def add(self, execution: Execution) -> None:
        """Remember one; forget the oldest finished ones of its container."""
        siblings = execution.container.executions
        finished = [item for item in siblings.values() if item.exit_code is not None]
        for old in finished[: max(0, len(finished) - FINISHED_KEPT)]:
            del siblings[old.id]
            self._all.pop(old.id, None)
        siblings[execution.id] = execution
        self._all[execution.id] = execution

    def find(self, identifier: str) -> Execution:
        """Return one by its id or a unique start of it; NotFound."""
        found = self._all.get(identifier)
        if found is None and len(identifier) >= 12:
            matches = [item for key, item in self._all.items() if key.startswith(identifier)]
            found = matches[0] if len(matches) == 1 else None
        if found is None:
            raise NotFound(f"No such exec instance: {identifier}")
        return found

    def forget(self, container: Container) -> None:
        """Forget those of a removed container."""
        for identifier in container.executions:
            self._all.pop(identifier, None)
