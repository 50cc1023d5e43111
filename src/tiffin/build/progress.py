"""How a build tells what it does; renderers turn this into what a client expects."""

from typing import Protocol

from tiffin.build.graph import Result, Vertex


class Progress(Protocol):
    """Called from the solver's threads."""

    def started(self, vertex: Vertex) -> None:
        """Tell that the vertex is being looked at."""

    def missed(self, vertex: Vertex, reason: str) -> None:
        """Tell that it is not in the cache; `reason` says what differs from last time."""

    def running(self, vertex: Vertex, container_id: str) -> None:
        """Tell that its process is about to run."""

    def output(self, vertex: Vertex, text: str) -> None:
        """Pass on what its process, or the operation itself, wrote."""

    def removed(self, vertex: Vertex, container_id: str) -> None:
        """Tell that what it ran in is gone."""

    def finished(self, vertex: Vertex, result: Result) -> None:
        """Tell that it is solved."""


class Silence:
    """Tells nobody."""

    def started(self, vertex: Vertex) -> None:
        """Ignore."""

    def missed(self, vertex: Vertex, reason: str) -> None:
        """Ignore."""

    def running(self, vertex: Vertex, container_id: str) -> None:
        """Ignore."""

    def output(self, vertex: Vertex, text: str) -> None:
        """Ignore."""

    def removed(self, vertex: Vertex, container_id: str) -> None:
        """Ignore."""

    def finished(self, vertex: Vertex, result: Result) -> None:
        """Ignore."""
