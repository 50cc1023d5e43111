r"""The log of a build as clients of the classic builder parse it.

`Step 1/3 : FROM debian`, ` ---> 0123456789ab`, ` ---> Running in …`, ` ---> Using cache`. Vertices
are solved in parallel; their lines come in the order of the file: those of the first unfinished
vertex as they happen, those of later ones when it is their turn.
"""

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tiffin.build.graph import Result, Vertex
from tiffin.spec.digest import digest_bytes
from tiffin.spec.ids import short

if TYPE_CHECKING:
    from tiffin.build.plan import Plan

Emit = Callable[[Mapping[str, Any]], None]
"""Takes one JSON line; called in any thread, in order."""


class ClassicLog:
    """Renders a build's progress; see `build.progress.Progress`."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._orders: list[int] = []
        self._waiting: dict[int, list[str]] = {}
        self._finished: set[int] = set()
        self._total = 0

    def begin(self, plan: "Plan", needed: set[Vertex]) -> None:
        """Print what precedes the first vertex; `needed` are those that will be solved."""
        self._orders = sorted(vertex.order for vertex in needed if vertex.order)
        self._total = plan.total_steps
        for warning in plan.warnings:
            if not warning.startswith("[Warning]"):
                self._say(f"{warning}\n")
        for step in plan.preamble:
            self._say(f"Step {step.number}/{self._total} : {step.text}\n")

    def started(self, vertex: Vertex) -> None:
        """Print the step's headline."""
        if vertex.step is not None:
            self._write(vertex, f"Step {vertex.step.number}/{self._total} : {vertex.step.text}\n")
        for notice in vertex.notices:
            self._write(vertex, f"{notice}\n")

    def missed(self, vertex: Vertex, reason: str) -> None:
        """Print why there is no cached result."""
        self._write(vertex, f" ---> Not cached: {reason}\n")

    def running(self, vertex: Vertex, container_id: str) -> None:
        """Print the container's id."""
        self._write(vertex, f" ---> Running in {short(container_id)}\n")

    def output(self, vertex: Vertex, text: str) -> None:
        """Print what the process said."""
        if text:
            self._write(vertex, text)

    def removed(self, vertex: Vertex, container_id: str) -> None:
        """Print that the container is gone."""
        self._write(vertex, f" ---> Removed intermediate container {short(container_id)}\n")

    def finished(self, vertex: Vertex, result: Result) -> None:
        """Print the id of the image at this point, and go on with the next vertex."""
        if vertex.step is not None:
            if result.from_cache:
                self._write(vertex, " ---> Using cache\n")
            self._write(vertex, f" ---> {short(image_id(result))}\n")
        with self._lock:
            self._finished.add(vertex.order)
            self._advance()

    def flush(self) -> None:
        """Print what is left of vertices that never had their turn, after a failure."""
        with self._lock:
            for order in self._orders:
                self._print(order)

    def _write(self, vertex: Vertex, text: str) -> None:
        if not vertex.order:
            return
        with self._lock:
            if self._orders and vertex.order == self._orders[0]:
                self._say(text)
            else:
                self._waiting.setdefault(vertex.order, []).append(text)

    def _advance(self) -> None:
        while self._orders and self._orders[0] in self._finished:
            self._orders.pop(0)
            if self._orders:
                self._print(self._orders[0])

    def _print(self, order: int) -> None:
        for text in self._waiting.pop(order, ()):
            self._say(text)

    def _say(self, text: str) -> None:
        self._emit({"stream": text})


def image_id(result: Result) -> str:
    """Return the id that an image of this result has, or would have."""
    return result.image.id if result.image is not None else digest_bytes(result.config.encode())
