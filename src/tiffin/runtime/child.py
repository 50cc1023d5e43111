"""The child's side of the handshake: from the clone to the user's program.

Runs in a fork of a single-threaded process and never returns from `run`: it executes the program
or reports an error and ends. Nothing of the parent is used but values.
"""

import fcntl
import gc
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NoReturn

from tiffin.errors import InvalidArgument
from tiffin.linux import pty, syscalls
from tiffin.linux.mount_api import AT_FDCWD
from tiffin.runtime import init, network_sockets
from tiffin.runtime.config_process import ProcessConfig
from tiffin.runtime.executable import NotExecutable, find, home_of, lowered
from tiffin.runtime.handshake import Channel, Kind
from tiffin.runtime.mount_operations import open_terminal
from tiffin.runtime.operation import Failed, MadeMounts, Operation, Place, Report, execute_all
from tiffin.runtime.plan import Plan
from tiffin.runtime.process_operations import ResetSignals
from tiffin.runtime.runtime import Stdio

EXEC_FAILED = 255
"""Exit code of a program that was found but that the kernel refused to execute."""

_LONGEST_PASSWD = 1 << 20
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class ChildOptions:
    """What this child does apart from its plan."""

    network_sockets: bool = False
    dns_sockets: bool = False
    init_process: bool = False
    explain: bool = False
    gated: bool = True
    """Wait for START before the program."""
    keep: tuple[int, ...] = ()
    """Descriptors that the plan names."""
    gate: int = -1
    preserved: int = 0
    """See `CreateOptions`."""
    made: MadeMounts = field(default_factory=dict)
    """Mounts that were made beforehand."""
    enter: Callable[[], None] | None = None
    """Joins the running container; called after the plan's `enter`."""


def run(
    plan: Plan,
    process: ProcessConfig,
    channel: Channel,
    stdio: Stdio,
    options: ChildOptions,
) -> NoReturn:
    """Become the process; never returns."""
    with reporting(channel):
        _Child(plan, process, channel, stdio, options).run()
    os._exit(1)


@contextmanager
def reporting(channel: Channel) -> Iterator[None]:
    """Tell the parent what goes wrong, and end: a child must not go on in the parent's code."""
    try:
        yield
    except (Failed, NotExecutable) as error:
        _report(channel, str(error))
    except InvalidArgument as error:
        _report(channel, str(error), Kind.INVALID)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _report(channel, f"{lowered(error)}{where}")
    except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is to hear of it
        _report(channel, f"{type(error).__name__}: {error}")
    finally:
        os._exit(1)


def close_others(keep: Collection[int]) -> None:
    """Close all inherited descriptors but stdio and those."""
    start = 3
    for fd in sorted(keep):
        if start < fd:
            syscalls.close_range(start, fd - 1)
        start = max(start, fd + 1)
    syscalls.close_range(start)


def _report(channel: Channel, text: str, kind: Kind = Kind.ERROR) -> None:
    with suppress(OSError):
        channel.send(kind, text)


class _Child:
    def __init__(
        self,
        plan: Plan,
        process: ProcessConfig,
        channel: Channel,
        stdio: Stdio,
        options: ChildOptions,
    ) -> None:
        self._plan = plan
        self._process = process
        self._channel = channel
        self._stdio = stdio
        self._options = options
        self._explain: Report | None = None
        if options.explain:
            self._explain = lambda text: channel.send(Kind.STEP, text)

    def run(self) -> None:
        gc.disable()
        # Until the program is executed, nobody in the container may look into this process.
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        self._take_descriptors()
        place = Place(
            lambda text: self._channel.send(Kind.WARNING, text),
            lambda: self._await(Kind.PREPARED),
            self._await_hooks,
        )
        place.made = self._options.made
        ResetSignals().execute(place)
        os.umask(0)
        if self._options.init_process:
            init.forget_origin()
        self._do(self._plan.enter, place)
        if self._options.enter is not None:
            _load_no_more()
            self._options.enter()
            place.set_root(os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        if self._options.network_sockets:
            self._hand_out_network()
        self._do(self._plan.build, place)
        console = self._take_terminal(place) if self._process.terminal else -1
        _load_no_more()
        self._do(self._plan.pivot, place)
        place.close()
        env = place.env = self._environment()
        self._do(self._plan.become, place)
        path = find(self._process.args[0], env)
        self._channel.send(Kind.READY, "", () if console < 0 else (console,))
        if console >= 0:
            os.close(console)
        if self._options.gate >= 0:
            self._go_through_gate()
        if self._options.gated:
            self._await(Kind.START)
        self._keep_for_program()
        self._do(self._plan.last, place)
        if self._options.init_process:
            init.supervise(lambda: self._execute(path, env), terminal=self._process.terminal)
        self._execute(path, env)

    def _do(self, operations: Sequence[Operation], place: Place) -> None:
        execute_all(operations, place, self._explain)

    def _await_hooks(self) -> None:
        self._channel.send(Kind.HOOKS)
        self._await(Kind.PREPARED)

    def _go_through_gate(self) -> None:
        """Go on with whoever connects: the runtime that has made this process is gone."""
        # The first process of a namespace is only killed by signals that it handles.
        for number in _ENDING:
            signal.signal(number, lambda number, _frame: os._exit(128 + number))
        with socket.socket(fileno=self._options.gate) as gate:
            connection, _ = gate.accept()
        self._channel.close()
        self._channel = Channel(connection)
        for number in _ENDING:
            signal.signal(number, signal.SIG_DFL)

    def _await(self, kind: Kind) -> None:
        message = self._channel.receive()
        if message.kind is not kind:
            os._exit(1)  # the parent is gone or gave up

    def _take_descriptors(self) -> None:
        """Put stdio in place and close everything else that was inherited."""
        wanted = (self._stdio.stdin, self._stdio.stdout, self._stdio.stderr)
        preserved = range(3, 3 + self._options.preserved)
        kept = {self._channel.fileno(), self._options.gate, *self._options.keep, *preserved}
        keep = sorted(kept - {-1})
        floor = max(*keep, 2) + 1
        high = []
        for fd in wanted:
            source = fd if fd >= 0 and not self._process.terminal else _null()
            high.append(fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, floor))
        for number, fd in enumerate(high):
            os.dup2(fd, number, inheritable=True)
        close_others(keep)

    def _take_terminal(self, place: Place) -> int:
        rows = self._stdio.rows or self._process.rows
        columns = self._stdio.columns or self._process.columns
        master, slave = open_terminal(place, rows, columns)
        if self._stdio.plain_line_ends:
            pty.keep_line_ends(master)
        for number in range(3):
            os.dup2(slave, number, inheritable=True)
        os.close(slave)
        return master

    def _hand_out_network(self) -> None:
        sockets = network_sockets.open_here(dns=self._options.dns_sockets)
        opened = [fd for fd in network_sockets.descriptors(sockets) if fd >= 0]
        self._channel.send(Kind.NETWORK, "", opened)
        for fd in opened:
            os.close(fd)

    def _keep_for_program(self) -> None:
        """Have all but a few descriptors end with this program; a filter may forbid that later.

        The channel goes with the rest: its end is what tells the parent of success.
        """
        first = 3 + self._options.preserved
        for fd in range(3, first):
            os.set_inheritable(fd, True)
        syscalls.close_range(first, flags=syscalls.CLOSE_RANGE_CLOEXEC)

    def _environment(self) -> list[str]:
        env = {item.partition("=")[0]: item for item in self._process.env}  # the last one counts
        if env.get("HOME", "HOME=") == "HOME=":
            env["HOME"] = f"HOME={home_of(self._process.user.uid, _passwd())}"
        return list(env.values())

    def _execute(self, path: str, env: list[str]) -> NoReturn:
        try:
            syscalls.execveat(AT_FDCWD, path, list(self._process.args), env)
        except OSError as error:
            # The container has started, so to say: what fails from here on is its own output.
            os.write(2, os.fsencode(f"exec {path}: {lowered(error)}\n"))
        os._exit(EXEC_FAILED)


def _load_no_more() -> None:
    """Import nothing from here on: the files at these paths are the image's in a moment."""
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()


def _null() -> int:
    return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)


def _passwd() -> str:
    """Return the container's /etc/passwd, "" if there is no regular file of that name."""
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return os.read(fd, _LONGEST_PASSWD).decode(errors="replace")
    finally:
        os.close(fd)
