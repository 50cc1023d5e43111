"""Operations: what is done to make a container, one value per step.

The planner (`plan.py`) returns lists of them without touching the kernel; the child executes them
in order. `describe` says what a step is for, `call` shows the kernel call; `--explain` prints both.
"""

import json
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tiffin.fs.rooted import Root
from tiffin.linux import mounts
from tiffin.spec.mount import Mount

Report = Callable[[str], None]

MadeMounts = dict[tuple[str, str, tuple[str, ...]], list[int]]
"""Descriptors of detached mounts that were made beforehand (`ahead.py`), by what they are."""


def made_key(item: Mount) -> tuple[str, str, tuple[str, ...]]:
    """Return what tells a mount from others, wherever it is to be."""
    return item.fstype, item.source, item.options


class Place:
    """What the operations of one child share while they are executed."""

    def __init__(
        self,
        warn: Report,
        await_parent: Callable[[], None] | None = None,
        await_hooks: Callable[[], None] | None = None,
    ) -> None:
        self.warn = warn
        self.made: MadeMounts = {}
        self.await_parent = await_parent or _no_wait
        """Returns when the parent has done its part (`Kind.PREPARED`)."""
        self.await_hooks = await_hooks or _no_wait
        """Returns when the parent has run its hooks (`Kind.HOOKS`)."""
        self.env: Sequence[str] | None = None
        """The program's variables, once they are known."""
        self.agent: tuple[socket.socket, bytes] | None = None
        """Who decides on system calls, and what it is to be told with the filter."""
        self._root: Root | None = None

    @property
    def root(self) -> Root:
        """The container's root directory; RuntimeError before there is one."""
        if self._root is None:
            raise RuntimeError("no operation has set the root yet")
        return self._root

    @property
    def has_root(self) -> bool:
        """Whether the root is another than the process's own."""
        return self._root is not None

    def mount(self, item: Mount) -> int:
        """Return a descriptor of one mount that is attached nowhere; OSError."""
        made = self.made.get(made_key(item))
        return made.pop() if made else mounts.create(item)

    def close(self) -> None:
        """Let go of the root; no operation after this needs it."""
        if self._root is not None:
            self._root.close()
            self._root = None

    def set_root(self, fd: int) -> None:
        """Make the directory `fd` (which it then owns) the root of all paths to come."""
        self.close()
        self._root = Root(fd)


def _no_wait() -> None:
    return


class Operation(Protocol):
    """One step."""

    def describe(self) -> str:
        """Say what the step is for."""

    def call(self) -> str:
        """Show what is asked of the kernel as text."""

    def execute(self, place: Place, /) -> None:
        """Do it; OSError, Failed."""


class Failed(Exception):
    """A step failed; the message is what the user is to read."""


def execute_all(operations: Iterable[Operation], place: Place, explain: Report | None) -> None:
    """Do the operations in order, reporting each as it is done."""
    for operation in operations:
        operation.execute(place)
        if explain is not None:
            explain(line(operation))


def line(operation: Operation) -> str:
    """Return the JSON line that `--explain` shows for a step."""
    return json.dumps({"step": operation.describe(), "call": operation.call()}, ensure_ascii=False)
