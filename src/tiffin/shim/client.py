"""One attached connection: output to it, input from it, its end."""

import socket
from collections.abc import Callable

from tiffin.shim.detach import DetachScanner
from tiffin.shim.loop import HANG_UP, READ, WRITE, Loop, Timer
from tiffin.shim.passage import Passage
from tiffin.shim.protocol import ClientOptions
from tiffin.shim.spill import Backlog
from tiffin.shim.stdin import Stdin
from tiffin.wire import stdcopy

INPUT_SIZE = 64 * 1024
LINGER_S = 2.0
PATIENCE_S = 0.25
"""A process's only reader may hold it up for so long before its output goes to a file."""


class Client:
    """Owns the connection.

    `on_gone` is called once if the client goes away or detaches before the output has ended,
    `on_closed` once when the connection is closed, for whatever reason.
    """

    def __init__(
        self,
        loop: Loop,
        options: ClientOptions,
        fd: int,
        spill_directory: str,
        *,
        on_gone: Callable[["Client"], None],
        on_closed: Callable[["Client"], None],
    ) -> None:
        self.id = options.id
        self.framed = options.framed
        self._wants = {stdcopy.STDOUT: options.stdout, stdcopy.STDERR: options.stderr}
        self._takes_input = options.stdin
        self._prefix = bytes.fromhex(options.prefix)
        self._detach = DetachScanner(bytes.fromhex(options.detach_keys))
        self._loop = loop
        self._connection = socket.socket(fileno=fd)
        self._connection.setblocking(False)
        self._backlog = Backlog(spill_directory)
        self._passage = Passage(self._connection, framed=options.framed)
        self._on_gone = on_gone
        self._on_closed = on_closed
        self._stdin: Stdin | None = None
        self._stdin_once = False
        self._reading = False
        self._finishing = False
        self._spills = False
        self._relieved: Callable[[], None] | None = None
        self._patience: Timer | None = None
        self._events = 0
        self.is_closed = False
        loop.add(fd, 0, self._on_event)

    def read_into(self, stdin: Stdin | None, *, once: bool) -> None:
        """Pass what the client sends to `stdin`; with `once`, its end closes it."""
        if not self._takes_input:
            return
        self._stdin = stdin
        self._stdin_once = once
        if stdin is not None and self._prefix:
            self._input(self._prefix)
        self._prefix = b""
        if not self.is_closed:
            self._reading = True
            self._watch()

    def send(self, stream: int, data: memoryview) -> None:
        """Give the client output of the process; it never blocks."""
        if self.is_closed or not self._wants.get(stream):
            return
        self.settle()
        if self.is_closed:
            return
        head = stdcopy.header(stream, len(data)) if self.framed else b""
        if not self._backlog:
            try:
                sent = self._connection.sendmsg(
                    (head, data), (), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
                )
            except BlockingIOError:
                sent = 0
            except OSError:
                self._leave()
                return
            if sent >= len(head) + len(data):
                return
            rest = (
                (head + bytes(data))[sent:] if sent < len(head) else bytes(data[sent - len(head) :])
            )
        else:
            rest = head + bytes(data)
        self._keep(rest)

    def splice(self, stream: int, pipe: int) -> bool:
        """Give the client what is in the pipe without reading it; whether that is done."""
        if self.is_closed or self._backlog or not self._wants.get(stream):
            return False
        if not self._passage.is_usable or self._passage.owed:
            return False
        try:
            moved = self._passage.begin(stream, pipe)
        except OSError:
            self._leave()
            return True
        if not self._passage.is_usable:
            self.settle()
        self._watch()
        return moved

    def settle(self) -> None:
        """Read what is owed to the client from the pipe, which is then free for others."""
        while self._passage.owed and not self.is_closed:
            self._keep(self._passage.take(INPUT_SIZE))

    def _keep(self, data: bytes) -> None:
        try:
            self._backlog.append(data, spill=self._spills)
        except OSError:
            # No disk space left for what this client does not read: it is cut off, alone.
            self._leave()
            return
        self._watch()

    def hold_up(self, relieved: Callable[[], None]) -> bool:
        """Whether the process should wait for this client, its only reader.

        `relieved` is called when it need not wait any longer: in `PATIENCE_S`, as long as there is
        room in the file.
        """
        if self.is_closed:
            return False
        if self._backlog.is_exhausted:
            # It has had a file's worth of patience: like Docker, the process waits for as long as
            # its reader does not read.
            self._relieved = relieved
            return True
        if self._spills or not self._is_behind:
            return False
        self._relieved = relieved
        self._patience = self._loop.call_later(PATIENCE_S, self._lose_patience)
        return True

    def let_spill(self) -> None:
        """From now on what exceeds the memory limit goes to a file; beyond that, it is cut off."""
        if self._backlog.is_exhausted:
            self._leave()
        elif self._backlog.is_full:
            self._spills = True

    @property
    def _is_behind(self) -> bool:
        return bool(self._passage.owed) or self._backlog.is_full

    def finish(self) -> None:
        """No more output comes: close the connection once the client has it all."""
        if self.is_closed or self._finishing:
            return
        self.settle()
        if self.is_closed:
            return
        self._finishing = True
        self._stdin = None
        if not self._backlog:
            self._end_output()
        else:
            self._watch()

    def close(self) -> None:
        """Close now."""
        if not self.is_closed:
            self.is_closed = True
            self._loop.remove(self._connection.fileno())
            self._connection.close()
            self._backlog.close()
            self._relieve()
            self._on_closed(self)

    def _leave(self) -> None:
        """Close because the client is gone or wants to be."""
        if not self.is_closed:
            if self._stdin is not None and self._stdin_once:
                self._stdin.close()
            if not self._finishing:
                self._on_gone(self)
            self.close()

    def _watch(self) -> None:
        if self.is_closed:
            return
        events = (READ if self._reading else 0) | (
            WRITE if self._backlog or self._passage.owed else 0
        )
        if events != self._events:
            self._events = events
            self._loop.change(self._connection.fileno(), events)

    def _on_event(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & READ and self._reading and not self.is_closed:
            self._read()
        if events & HANG_UP and not self.is_closed and not events & READ:
            self._leave()

    def _flush(self) -> None:
        try:
            self._passage.go_on()  # there is a backlog only if nothing is owed
            emptied = self._backlog.send_to(self._connection)
        except OSError:
            self._leave()
            return
        if not self._passage.is_usable:
            self.settle()
        if not (self._is_behind or self._backlog.is_exhausted):
            self._relieve()
        if emptied:
            self._spills = False
            if self._finishing:
                self._end_output()
        self._watch()

    def _lose_patience(self) -> None:
        self._spills = True
        self.settle()
        self._relieve()

    def _relieve(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        relieved, self._relieved = self._relieved, None
        if relieved is not None:
            relieved()

    def _read(self) -> None:
        stdin = self._stdin
        try:
            if stdin is not None and stdin.can_splice:
                if not stdin.splice_from(self._connection.fileno()):
                    self._end_of_input()
                return
            data = self._connection.recv(INPUT_SIZE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if stdin is not None and stdin.can_splice:
                self._pause_input(stdin)
            return
        except OSError:
            self._leave()
            return
        if not data:
            self._end_of_input()
        elif stdin is not None:
            self._input(data)

    def _input(self, data: bytes) -> None:
        assert self._stdin is not None
        data, detached = self._detach.feed(data)
        self._stdin.write(data)
        if detached:
            self._stdin_once = False
            self._leave()
        elif self._stdin.is_busy and self._reading:
            self._pause_input(self._stdin)

    def _pause_input(self, stdin: Stdin) -> None:
        self._reading = False
        self._watch()
        stdin.when_writable(self._resume_input)

    def _resume_input(self) -> None:
        if not self.is_closed:
            self._reading = True
            self._watch()

    def _end_of_input(self) -> None:
        """Note that the client has shut its sending side."""
        self._reading = False
        if self._finishing:
            if not self._backlog:
                self.close()
        elif self._stdin is not None and not self._stdin_once:
            # As in Docker: the end of input ends an attachment that must leave stdin open.
            self._on_gone(self)
            self.finish()
        elif self._stdin is not None:
            self._stdin.close()
            self._stdin = None
        self._watch()

    def _end_output(self) -> None:
        # Closing with unread input would reset the connection and take output away from the client.
        try:
            self._connection.shutdown(socket.SHUT_WR)
            while data := self._connection.recv(INPUT_SIZE, socket.MSG_DONTWAIT):
                del data
        except BlockingIOError:
            self._reading = True
            self._watch()
            self._loop.call_later(LINGER_S, self.close)
            return
        except OSError:
            pass
        self.close()
