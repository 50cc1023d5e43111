"""One process under a shim's care: its streams, its end, its exit code."""

from collections.abc import Callable
from dataclasses import dataclass

from tiffin.linux import pidfd, pty
from tiffin.runtime.runtime import Process, Stdio
from tiffin.shim.client import Client
from tiffin.shim.loop import READ, Loop
from tiffin.shim.stdin import Stdin
from tiffin.shim.stdio import Ends, plumb
from tiffin.shim.streams import Buffer, LogSink, Streams
from tiffin.wire import stdcopy


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which streams the process gets; the others are /dev/null."""

    stdin: bool
    stdout: bool
    stderr: bool
    stdin_once: bool
    terminal: bool
    rows: int
    columns: int


def launch(wiring: Wiring, make: Callable[[Stdio], Process]) -> tuple[Process, Ends]:
    """Make a process with the streams it wants; nothing stays open if that fails."""
    plumbing = plumb(
        stdin=wiring.stdin,
        stdout=wiring.stdout,
        stderr=wiring.stderr,
        terminal=wiring.terminal,
        rows=wiring.rows,
        columns=wiring.columns,
    )
    try:
        return make(plumbing.stdio), plumbing.ends
    except BaseException:
        plumbing.close_ends()
        raise
    finally:
        plumbing.close_inner()


class Supervised:
    """Goes on until the process has ended and its output is through.

    `on_exit` is called with code and pidfd when the process has ended, and closes the pidfd.
    `on_ended` is called when nothing more comes from it, or `drain_s` later: children that still
    have its output open are not waited for any longer.
    """

    def __init__(
        self,
        loop: Loop,
        buffer: Buffer,
        wiring: Wiring,
        process: Process,
        ends: Ends,
        *,
        log: LogSink | None,
        drain_s: float,
        on_exit: Callable[[int, int], None],
        on_ended: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._drain_s = drain_s
        self._on_exit = on_exit
        self._on_ended = on_ended
        self._code = -1
        self._has_ended = False
        self._process = process
        self._ends = ends
        console = process.console
        stdin: Stdin | None = None
        if console >= 0 and wiring.stdin:
            stdin = Stdin(loop, console, is_terminal=True)
        elif ends.stdin >= 0:
            stdin = Stdin(loop, ends.stdin, is_terminal=False)
        self._stdin = stdin
        self._streams = Streams(
            loop,
            buffer,
            stdin=stdin,
            # There is no end of input for a terminal.
            stdin_once=wiring.stdin_once and console < 0,
            log=log,
            on_drained=self._check_ended,
        )
        for fd, stream in (
            (console, stdcopy.STDOUT),
            (ends.stdout, stdcopy.STDOUT),
            (ends.stderr, stdcopy.STDERR),
        ):
            if fd >= 0:
                self._streams.read_from(fd, stream)

    @property
    def pid(self) -> int:
        """In the host's namespace."""
        return self._process.pid

    def watch(self) -> None:
        """Begin to wait for the end."""
        self._loop.add(self._process.pidfd, READ, lambda _events: self.check_exit())

    def check_exit(self) -> None:
        """Collect the process if it has ended."""
        if self._code >= 0:
            return
        ended = pidfd.reap(self._process.pidfd)
        if ended is None:
            return
        self._code = ended.status
        self._loop.remove(self._process.pidfd)
        self._on_exit(self._code, self._process.pidfd)
        if not self._streams.is_drained:
            self._loop.call_later(self._drain_s, self._streams.cut_off)
        self._check_ended()

    def signal(self, number: int) -> None:
        """Signal the process; nothing happens if it has ended."""
        if self._code < 0:
            pidfd.send_signal(self._process.pidfd, number)

    def resize(self, rows: int, columns: int) -> None:
        """Set its terminal's size, if it has one."""
        if self._process.console >= 0 and not self._streams.is_drained:
            pty.set_size(self._process.console, rows, columns)

    def add(self, client: Client) -> None:
        """Attach a client."""
        self._streams.add(client)

    def remove(self, client: Client) -> None:
        """Detach a client that went away."""
        self._streams.remove(client)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is attached and nothing is under way in either direction."""
        busy = self._stdin is not None and self._stdin.is_busy
        return not (busy or self._code >= 0 or self._streams.has_clients)

    def descriptors(self) -> dict[str, int]:
        """Return what is still open, for another process to go on with."""
        console, ends = self._process.console, self._ends
        outputs = {"console": console, "stdout": ends.stdout, "stderr": ends.stderr}
        live = self._streams.outputs()
        found = {name: fd for name, fd in outputs.items() if fd in live}
        found["pidfd"] = self._process.pidfd
        if ends.stdin >= 0 and self._stdin is not None and not self._stdin.is_closed:
            found["stdin"] = ends.stdin
        return found

    def abandon(self) -> None:
        """Close everything of a process that never ran (and is gone)."""
        self._code = max(self._code, 0)
        self._has_ended = True
        self._streams.cut_off()
        self._streams.finish()

    def _check_ended(self) -> None:
        if self._code >= 0 and self._streams.is_drained and not self._has_ended:
            self._has_ended = True
            self._on_ended(self._code)
            self._streams.finish()
