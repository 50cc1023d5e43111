"""The states of a container and which moves between them exist."""

from enum import StrEnum

from tiffin.errors import Conflict


class Status(StrEnum):
    """Where in its life a container is; the words are the API's."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


_MOVES: dict[Status, frozenset[Status]] = {
    Status.CREATED: frozenset(
        {Status.RUNNING, Status.CREATED, Status.EXITED, Status.REMOVING, Status.RESTARTING}
    ),
    Status.RUNNING: frozenset({Status.PAUSED, Status.RESTARTING, Status.EXITED, Status.REMOVING}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.RESTARTING, Status.EXITED, Status.REMOVING}),
    Status.RESTARTING: frozenset({Status.RUNNING, Status.EXITED, Status.REMOVING}),
    Status.EXITED: frozenset({Status.RUNNING, Status.EXITED, Status.RESTARTING, Status.REMOVING}),
    Status.REMOVING: frozenset({Status.DEAD}),
    Status.DEAD: frozenset({Status.REMOVING}),
}

ALIVE = frozenset({Status.RUNNING, Status.PAUSED})
"""There is a process."""
UP = ALIVE | {Status.RESTARTING}
"""Clients see it as running: it is, or it is about to be again."""


def check_move(identifier: str, current: Status, wanted: Status) -> None:
    """Raise Conflict unless a container may go from `current` to `wanted`."""
    if wanted not in _MOVES[current]:
        raise Conflict(f"container {identifier} is {current} and cannot become {wanted}")
