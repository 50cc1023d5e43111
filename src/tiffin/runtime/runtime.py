"""The runtime contract: what the shim needs to turn a bundle into a task.

Synchronous, single-threaded, standard library only: it runs in a freshly forked shim.

A *bundle* is a directory with `config.json` (OCI runtime-spec). A *task* is the running side of a
container: `create` makes its init process with all namespaces and cgroups, stopped before the
user's program; `start` lets it execute that program.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stdio:
    """Descriptors for the process; a terminal process gets a console instead and ignores these."""

    stdin: int
    stdout: int
    stderr: int
    terminal: bool = False
    rows: int = 0
    columns: int = 0
    plain_line_ends: bool = False
    """The terminal adds no carriage returns: its output goes to another one, which does."""


@dataclass(frozen=True, slots=True)
class NetworkSockets:
    """Descriptors that were opened inside the new network namespace, for whoever plugs it in.

    `dns_udp` and `dns_tcp` are bound to 127.0.0.11 at free ports (-1 unless asked for).
    """

    netns: int
    rtnetlink: int
    nfnetlink: int
    dns_udp: int = -1
    dns_tcp: int = -1


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the task: `pidfd` becomes readable when it ends; `console` is -1 without tty."""

    pid: int
    pidfd: int
    console: int = -1


class Task(Protocol):
    """One container's processes."""

    @property
    def init(self) -> Process:
        """The init process, PID 1 of the container."""

    @property
    def network(self) -> NetworkSockets | None:
        """Sockets of a *new* network namespace; None if it was shared with something else."""

    def start(self) -> None:
        """Execute the user's program; FailedPrecondition with runc's wording if that fails."""

    def exec(self, process: JsonObject, stdio: Stdio) -> Process:
        """Run an OCI `process` object inside the running container."""

    def kill(self, signal: int, *, every: bool = False) -> None:
        """Signal init, or every process of the container's cgroup."""

    def pause(self) -> None:
        """Freeze."""

    def resume(self) -> None:
        """Thaw."""

    def update(self, resources: JsonObject) -> None:
        """Apply an OCI `linux.resources` object to the live cgroups."""

    def stats(self) -> JsonObject:
        """Return raw cgroup figures (see `linux/cgroups/stats.py`)."""

    def oom_kills(self) -> int:
        """Return how often a process was killed for want of memory."""

    def delete(self) -> None:
        """Kill what is left and remove the cgroups; idempotent."""


@dataclass(frozen=True, slots=True)
class CreateOptions:
    """How the shim wants the task made."""

    network_sockets: bool = False
    dns_sockets: bool = False
    init_process: bool = False
    """`--init`: an own PID 1 that reaps and forwards signals."""
    explain: Callable[[str], None] | None = None
    """Called with one line per operation, as each is done."""
    warn: Callable[[str], None] | None = None
    """Called for limits that the host could not grant."""
    gate: int = -1
    """A listening socket: the program waits for whoever connects, not for this process."""
    preserved: int = 0
    """So many descriptors after stderr are the program's too."""
    keyring: bool = True
    """Leave the caller's session keyring."""
    pivot: bool = True
    """By pivot_root, not by moving the root, which is for those who live in a ramdisk."""
    bundle: Path | None = None
    """What hooks are told, if not the directory that was given."""


class Runtime(Protocol):
    """A way of running bundles: our own, an OCI runtime binary, a micro-VM."""

    @property
    def name(self) -> str:
        """Name as in `--runtime`."""

    def prepare(self) -> None:
        """Do what can be done before any container is asked for, in the process that makes it.

        Whatever comes of it ends with the process. It never fails: `create` tells what is wrong.
        """

    def create(self, container_id: str, bundle: Path, stdio: Stdio, options: CreateOptions) -> Task:
        """Make the task up to the point before its program; nothing is left if it fails."""

    def adopt(
        self,
        container_id: str,
        bundle: Path,
        init: Process,
        network: NetworkSockets | None,
        options: CreateOptions,
    ) -> Task:
        """Return a started task that another process has made; `init` is a child of this one."""
