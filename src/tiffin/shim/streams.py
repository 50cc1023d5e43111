"""The output of one process, to its log and to every attached client; and their input to it."""

import mmap
import os
import stat
from collections.abc import Callable
from typing import Protocol

from tiffin.shim.client import Client
from tiffin.shim.loop import READ, Loop
from tiffin.shim.stdin import Stdin
from tiffin.wire import stdcopy

BUFFER_SIZE = 64 * 1024
"""Small enough that its log records stay in the cache and below malloc's threshold for mmap."""
PIPE_SIZE = 1 << 20
IDLE_S = 0.5


class Buffer:
    """The one read buffer of a shim; its pages go back to the kernel when output pauses."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._memory = mmap.mmap(-1, BUFFER_SIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self._memory)
        self._dirty = False
        self._armed = False

    def used(self, count: int) -> None:
        """Note that `count` bytes were read into the buffer."""
        if count > mmap.PAGESIZE:
            self._dirty = True
            if not self._armed:
                self._armed = True
                self._loop.call_later(IDLE_S, self._release)

    def _release(self) -> None:
        self._armed = False
        if self._dirty:
            self._dirty = False
            self._armed = True
            self._loop.call_later(IDLE_S, self._release)
            return
        self._memory.madvise(mmap.MADV_DONTNEED)


class Output:
    """A descriptor that the process writes to: `stream` as in stdcopy."""

    def __init__(self, fd: int, stream: int) -> None:
        self.fd = fd
        self.stream = stream
        self.name = stdcopy.NAMES[stream]
        self.is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)


class LogSink(Protocol):
    """Where output is kept."""

    def write(self, name: str, portion: memoryview) -> None:
        """Take output; `name` is that of the stream."""

    def hold_up(self, relieved: Callable[[], None]) -> bool:
        """Whether the process should wait; `relieved` is called when it need not any longer."""


class Streams:
    """stdio of one process.

    `on_drained` is called when the last of its outputs has ended (or `cut_off` was called).
    """

    def __init__(
        self,
        loop: Loop,
        buffer: Buffer,
        *,
        stdin: Stdin | None,
        stdin_once: bool,
        log: LogSink | None,
        on_drained: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._buffer = buffer
        self._stdin = stdin
        self._stdin_once = stdin_once
        self._log = log
        self._on_drained = on_drained
        self._outputs: list[Output] = []
        self._clients: list[Client] = []
        self._paused = False
        self._finished = False

    @property
    def is_drained(self) -> bool:
        """Whether nothing more comes."""
        return not self._outputs

    @property
    def has_clients(self) -> bool:
        """Whether anybody is attached."""
        return bool(self._clients)

    def outputs(self) -> list[int]:
        """Return the descriptors that have not ended."""
        return [output.fd for output in self._outputs]

    def read_from(self, fd: int, stream: int) -> None:
        """Take over a descriptor to read output from."""
        output = Output(fd, stream)
        os.set_blocking(fd, False)
        self._outputs.append(output)
        self._watch(output)

    def add(self, client: Client) -> None:
        """Attach a client."""
        if self._finished:
            client.finish()
            return
        self._clients.append(client)
        self._resume()  # the process no longer waits for its only reader
        client.read_into(self._stdin, once=self._stdin_once)

    def remove(self, client: Client) -> None:
        """Detach a client that went away."""
        if client in self._clients:
            self._clients.remove(client)

    def cut_off(self) -> None:
        """Take what is there now and wait for no more."""
        for output in tuple(self._outputs):
            while output in self._outputs and self._read(output):
                pass
            self._end(output)

    def finish(self) -> None:
        """Close the process's stdin, and the clients once they have everything."""
        self._finished = True
        if self._stdin is not None:
            self._stdin.close()
        clients, self._clients = self._clients, []
        for client in clients:
            client.finish()

    def _watch(self, output: Output) -> None:
        self._loop.add(output.fd, READ, lambda _events: self._on_readable(output))

    def _on_readable(self, output: Output) -> None:
        self._read(output)
        if not self._paused and self._must_wait():
            self._pause()

    def _must_wait(self) -> bool:
        if self._log is not None and self._log.hold_up(self._resume):
            return True
        return len(self._clients) == 1 and self._clients[0].hold_up(self._resume)

    def _read(self, output: Output) -> bool:
        """Pass one portion on; whether there may be more."""
        may_splice = self._log is None and output.is_pipe and len(self._clients) == 1
        if may_splice and self._clients[0].splice(output.stream, output.fd):
            return True
        for client in self._clients:
            client.settle()
        view = self._buffer.view
        try:
            count = os.readv(output.fd, [view])
        except BlockingIOError:
            return False
        except OSError:
            count = 0  # EIO: the last descriptor of the terminal's other side was closed
        if not count:
            self._end(output)
            return False
        self._buffer.used(count)
        portion = view[:count]
        several = len(self._clients) > 1
        for client in tuple(self._clients):
            client.send(output.stream, portion)
            if several:
                client.let_spill()
        if self._log is not None:
            self._log.write(output.name, portion)
        return True

    def _pause(self) -> None:
        self._paused = True
        for output in self._outputs:
            self._loop.remove(output.fd)

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            for output in self._outputs:
                self._watch(output)

    def _end(self, output: Output) -> None:
        if output in self._outputs:
            self._outputs.remove(output)
            self._loop.remove(output.fd)
            os.close(output.fd)
            if not self._outputs:
                self._on_drained()
