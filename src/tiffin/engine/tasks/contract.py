"""What use-cases need of tasks: the contract that `Tasks` fulfils and that tests fake.

A task is made in two steps so that its network can be plugged in between: `create` returns when the
init process stands in its namespaces, `start` lets it execute the user's program.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tiffin.networks.driver import Sandbox
from tiffin.spec.ids import ContainerId, ExecId


@dataclass(frozen=True, slots=True)
class Attachment:
    """A client's connection, handed to the shim.

    `fd` is a connected stream socket; the receiver duplicates it, the caller then closes its own.
    `framed` selects the 8-byte stdcopy framing (no TTY). `prefix` is input that was already read
    from the client. `detach_keys` is the byte sequence, empty for none.
    """

    fd: int
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    framed: bool = True
    detach_keys: bytes = b"\x10\x11"
    prefix: bytes = b""
    on_detached: Callable[[], None] | None = None
    """Called in the event loop when the client went away or typed the detach keys."""


@dataclass(frozen=True, slots=True)
class LogTarget:
    """Where the shim writes the log. `path` is the container's log directory.

    `attributes` go into each record (`logs.attributes` makes them of the options).
    """

    driver: str
    path: Path
    options: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, str] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    """The fields of `logs.remote.LogSource`, for drivers that send logs elsewhere."""


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """The embedded DNS: `names` is the file that `networks` keeps for this container."""

    names: Path
    upstreams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """A listening (TCP) or bound (UDP) host socket that the shim forwards in user space."""

    fd: int
    protocol: str
    target_ip: str
    target_port: int


@dataclass(frozen=True, slots=True)
class OciBinary:
    """Another OCI runtime: its name, its program, and the arguments that go before all others."""

    name: str
    path: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """Everything that makes a task. The bundle's `config.json` has been written by the caller."""

    id: ContainerId
    bundle: Path
    log: LogTarget
    terminal: bool = False
    rows: int = 0
    columns: int = 0
    open_stdin: bool = False
    stdin_once: bool = False
    init_process: bool = False
    new_network: bool = False
    """Ask for the sandbox sockets (the bundle makes a new network namespace)."""
    dns: DnsSettings | None = None
    cgroup: str = ""
    """The bundle's `linux.cgroupsPath`, where the caller knows it."""
    attachments: Sequence[Attachment] = ()
    runtime: OciBinary | None = None
    """None for our own runtime."""
    explain: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """How a task ended: `code` as Docker counts (128+n for signal n), Unix time in ns."""

    code: int
    finished_ns: int
    oom_killed: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class ExecRequest:
    """One exec: `process` is an OCI `process` object (args, env, cwd, user, capabilities …)."""

    id: ExecId
    process: dict[str, Any]
    terminal: bool = False
    rows: int = 0
    columns: int = 0
    attachment: Attachment | None = None


class ExecHandle(Protocol):
    """A running exec."""

    @property
    def pid(self) -> int:
        """Process id in the host's namespace."""

    async def wait(self) -> int:
        """Return its exit code."""

    async def resize(self, rows: int, columns: int) -> None:
        """Set its terminal's size."""

    async def kill(self, signal: int) -> None:
        """Signal it."""


class TaskHandle(Protocol):
    """A live task. Calls on a task that has ended raise Conflict."""

    @property
    def pid(self) -> int:
        """Init's process id in the host's namespace."""

    @property
    def started_ns(self) -> int:
        """Unix time in ns at which the user's program was executed; 0 before."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Limits that the host could not grant."""

    @property
    def sandbox(self) -> Sandbox | None:
        """Sockets of the new network namespace, until `start` has returned; then None."""

    async def open_sandbox(self) -> Sandbox | None:
        """Return new descriptors of the live task's own network namespace; the caller closes them.

        None if the task shares its namespace with something else.
        """

    async def start(self, forwards: Sequence[Forward] = ()) -> None:
        """Execute the user's program; FailedPrecondition with the reason if it cannot be."""

    async def attach(self, attachment: Attachment) -> None:
        """Give the shim one more client."""

    async def exec(self, request: ExecRequest) -> ExecHandle:
        """Run another process in the container; FailedPrecondition if it cannot be executed."""

    async def kill(self, signal: int, *, every: bool = False) -> None:
        """Signal init, or all processes."""

    async def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size."""

    async def pause(self) -> None:
        """Freeze all processes."""

    async def resume(self) -> None:
        """Thaw."""

    async def update(self, resources: dict[str, Any]) -> None:
        """Apply an OCI `linux.resources` object."""

    async def stats(self) -> dict[str, Any]:
        """Return raw cgroup figures (see `linux/cgroups/stats.py`)."""

    def stands_paused(self) -> bool:
        """Tell whether the task stands paused. Blocking, and short."""

    def watch_oom(self, notify: Callable[[], None]) -> bool:
        """Have `notify` called in the event loop whenever the task's memory runs out.

        Return whether that has happened already.
        """

    async def wait(self) -> Exit:
        """Return how it ended; any number of callers."""

    async def delete(self) -> None:
        """Kill what is left; remove cgroups and the task directory. Idempotent."""


class TaskService(Protocol):
    """Makes tasks and finds those of an earlier daemon."""

    async def create(self, request: TaskRequest) -> TaskHandle:
        """Make a task up to the point before its program; nothing is left if it fails."""

    async def recover(self, container_id: ContainerId) -> TaskHandle | Exit | None:
        """Return the live task, how it ended meanwhile, or None if nothing is known of it."""
