"""The daemon's hold on its spawner: started when needed, replaced if it dies."""

import asyncio
import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from tiffin.shim import protocol
from tiffin.shim.sealed import start_spawner
from tiffin.spec.ids import ContainerId

log = logging.getLogger(__name__)


class Spawner:
    """Asks a spawner for shims. `runtime` is `module:Class`, `cache` a directory for it."""

    def __init__(self, runtime: str, cache: Path) -> None:
        self._runtime = runtime
        self._cache = cache
        self._socket: socket.socket | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """Process id, 0 if there is none now."""
        return self._pid

    def start(self) -> None:
        """Start one unless there is one; OSError if that fails."""
        if self._socket is None:
            self._pid, self._socket = start_spawner(self._runtime, self._cache)
            self._socket.setblocking(False)
            asyncio.get_running_loop().add_reader(self._socket, self._on_end)

    async def close(self) -> None:
        """Let it end and wait until it has."""
        if self._socket is not None:
            pid = self._pid
            self._drop()
            await asyncio.to_thread(_collect, pid)

    async def fork(self, container_id: ContainerId) -> socket.socket:
        """Return the daemon's end of the channel of a new shim.

        If the spawner dies before it has read the request, the channel is at its end at once.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                await self._request(protocol.Spawn(container_id), theirs.fileno())
            except BaseException:
                ours.close()
                raise
        return ours

    async def _request(self, message: protocol.Spawn, fd: int) -> None:
        (packet,) = protocol.encode(message, [fd])
        for last_try in (False, True):
            self.start()
            assert self._socket is not None
            try:
                while True:
                    try:
                        protocol.send_packet(self._socket, packet)
                        return
                    except BlockingIOError:
                        await _writable(self._socket)
            except (BrokenPipeError, ConnectionError):
                self._on_end()
                if last_try:
                    raise

    def _on_end(self) -> None:
        if self._socket is not None:
            log.warning("the spawner %d ended unexpectedly", self._pid)
            pid = self._pid
            self._drop()
            _collect(pid)

    def _drop(self) -> None:
        assert self._socket is not None
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()
        self._socket = None
        self._pid = 0


def _collect(pid: int) -> None:
    """Wait for a spawner whose socket is closed; one that does not end is killed."""
    deadline = time.monotonic() + 5.0
    with suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(pid, 9)
            time.sleep(0.002)


async def _writable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_writer(channel, note)
    try:
        await ready
    finally:
        loop.remove_writer(channel)
