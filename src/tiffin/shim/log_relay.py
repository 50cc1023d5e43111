"""A shim's end of its log relay (`logs/relay.py`): for drivers that send logs elsewhere."""

import gc
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import NoReturn

from tiffin.logs import relay
from tiffin.logs.remote import LogSource
from tiffin.logs.select import cannot_start
from tiffin.shim.faults import Faults
from tiffin.shim.loop import HANG_UP, WRITE, Loop
from tiffin.shim.process_name import name_process
from tiffin.shim.protocol import Create

ANSWER_S = 30.0
"""How long a relay may take to connect; no driver tries that long."""
FLUSH_S = 4.0
"""How long the end of a container may wait for its relay to take the rest."""
_CLOSED_FDS = 1 << 20


def start_relay(request: Create) -> tuple[socket.socket, int]:
    """Fork the relay and wait until it has connected; return our end, and the process.

    FailedPrecondition with its reason if it cannot.
    """
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if not pid:
        _be_relay(theirs, request)
    theirs.close()
    try:
        answer = _read_line(ours)
        if answer != relay.CONNECTED:
            reason = answer.decode(errors="replace").strip() or "the log relay has ended"
            raise cannot_start(reason)
    except BaseException:
        ours.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return ours, pid


def _read_line(connection: socket.socket) -> bytes:
    line = b""
    deadline = time.monotonic() + ANSWER_S
    while not line.endswith(b"\n"):
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = connection.recv(4096)
        except TimeoutError:
            raise cannot_start("the log server does not answer") from None
        if not data:
            break
        line += data
    return line


def _be_relay(connection: socket.socket, request: Create) -> NoReturn:
    faults = Faults()
    faults.directory = request.bundle
    try:
        os.dup2(connection.fileno(), 3)
        os.closerange(4, _CLOSED_FDS)
        name_process("tiffin-log")
        # What belongs to the shim must neither be closed nor touched.
        gc.freeze()
        gc.enable()
        source = LogSource(**request.log_source)
        with socket.socket(fileno=3) as own:
            relay.serve(own, request.log_driver, request.log_options, source, faults.tell)
    except Exception:  # noqa: BLE001  # nobody else is there to be told
        faults.note()
    finally:
        os._exit(0)


class LogRelay:
    """Writes frames without blocking; the process waits while the relay does not take them.

    A relay that has ended gets nothing more: the container goes on without it. `pid` is 0 if it
    is another process's child.
    """

    def __init__(self, loop: Loop, connection: socket.socket, pid: int = 0) -> None:
        self._loop = loop
        self._connection = connection
        self._pid = pid
        self._pending = bytearray()
        self._relieved: Callable[[], None] | None = None
        self._is_open = True
        connection.setblocking(False)
        loop.add(connection.fileno(), 0, self._on_event)

    def write(self, stream: str, time_ns: int, data: bytes) -> None:
        """Pass a portion of output on, now or when the relay takes it."""
        if not self._is_open:
            return
        data = relay.frame(stream, time_ns, data)
        if self._pending:
            self._pending += data
            return
        sent = self._send(data)
        if sent < len(data) and self._is_open:
            self._pending += memoryview(data)[sent:]
            self._loop.change(self._connection.fileno(), WRITE)

    def hold_up(self, relieved: Callable[[], None]) -> bool:
        """Whether the process should wait; `relieved` is called when it need not any longer."""
        if not self._pending:
            return False
        self._relieved = relieved
        return True

    @property
    def is_idle(self) -> bool:
        """Whether nothing is half-way."""
        return not self._pending

    def fileno(self) -> int:
        """Return the descriptor, -1 if the relay has ended."""
        return self._connection.fileno()

    def close(self) -> None:
        """Give the relay what is left, waiting a moment if need be, and let it end."""
        deadline = time.monotonic() + FLUSH_S
        while self._pending and self._is_open and time.monotonic() < deadline:
            poll = select.poll()
            poll.register(self._connection, select.POLLOUT)
            poll.poll(100)
            self._flush()
        self._shut()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._connection.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError:
            self._shut()
            return len(data)

    def _on_event(self, events: int) -> None:
        if events & HANG_UP:
            self._shut()
        elif events & WRITE:
            self._flush()

    def _flush(self) -> None:
        sent = self._send(self._pending)
        del self._pending[:sent]
        if not self._pending and self._is_open:
            self._loop.change(self._connection.fileno(), 0)
            self._relieve()

    def _shut(self) -> None:
        if self._is_open:
            self._is_open = False
            self._pending.clear()
            self._loop.remove(self._connection.fileno())
            self._connection.close()
            self._relieve()
            if self._pid:
                os.waitpid(self._pid, os.WNOHANG)

    def _relieve(self) -> None:
        relieved, self._relieved = self._relieved, None
        if relieved is not None:
            relieved()
