"""What a shim leaves on disk in the task directory, for a daemon that comes later.

    config.json   the bundle, written by the daemon
    state.json    TaskState: from the creation on
    exit.json     ExitRecord: once the task has ended and its log is complete
    shim.sock     where the shim listens as long as it lives
    shim.log      faults of the shim itself; normally absent

Both records are replaced atomically. They live in a tmpfs that a reboot empties, so they are not
synced.
"""

import json
import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

SOCKET = "shim.sock"
STATE = "state.json"
EXIT = "exit.json"
FAULTS = "shim.log"

CREATED, RUNNING, EXITED = "created", "running", "exited"
"""Phases of a task: created → running → exited."""


@dataclass(frozen=True, slots=True)
class TaskState:
    """`start_time` is init's (clock ticks since boot), so that a reused pid is told from it."""

    pid: int
    start_time: int
    phase: str
    started_ns: int = 0


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How the task ended: Docker's exit code, Unix time in ns."""

    code: int
    finished_ns: int
    oom_killed: bool = False
    error: str = ""


def write_state(directory: str, state: TaskState) -> None:
    """Replace state.json."""
    _write(directory, STATE, asdict(state))


def read_state(directory: str) -> TaskState | None:
    """Return the state, or None if there is none (or not a whole one)."""
    fields = _read(directory, STATE)
    try:
        return None if fields is None else TaskState(**fields)
    except TypeError:
        return None


def write_exit(directory: str, record: ExitRecord) -> None:
    """Replace exit.json; OSError if the task directory is gone."""
    _write(directory, EXIT, asdict(record))


def read_exit(directory: str) -> ExitRecord | None:
    """Return how the task ended, or None if it has not (or nobody was there to see it)."""
    fields = _read(directory, EXIT)
    try:
        return None if fields is None else ExitRecord(**fields)
    except TypeError:
        return None


def start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 if there is no such process.

    proc(5), field 22 of /proc/pid/stat.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return 0
    return int(text[text.rindex(b")") + 2 :].split()[19])


def listen(directory: str) -> socket.socket:
    """Listen on the task's socket, however long the directory's path is."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    parent = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{parent}/{SOCKET}")
        listener.listen(8)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(parent)
    return listener


def connect(directory: str) -> socket.socket:
    """Connect to the task's shim; OSError if there is none."""
    parent = os.open(directory, os.O_PATH | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(f"/proc/self/fd/{parent}/{SOCKET}")
    except OSError:
        connection.close()
        raise
    finally:
        os.close(parent)
    return connection


def _write(directory: str, name: str, fields: dict[str, Any]) -> None:
    path = os.path.join(directory, name)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(fields, file)
    os.replace(f"{path}.new", path)


def _read(directory: str, name: str) -> dict[str, Any] | None:
    try:
        with open(os.path.join(directory, name), "rb") as file:
            fields = json.load(file)
    except (OSError, ValueError):
        return None
    return fields if isinstance(fields, dict) else None
