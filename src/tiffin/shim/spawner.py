"""The spawner: one warm, single-threaded process that forks shims.

It runs from a sealed copy of the interpreter (`sealed.py`), has loaded what a shim needs, and holds
no state: each request comes with the one descriptor that becomes the shim's channel, and is passed
on to a shim that was forked beforehand. It ends when the daemon's end of its socket closes; shims
go on. Nothing else may run in it: between fork and exec, a single thread is what makes Python safe.
"""

import gc
import importlib
import os
import select
import signal
import socket
from pathlib import Path
from typing import cast

from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.runtime.runtime import Runtime
from tiffin.shim import keeper, protocol
from tiffin.shim.process_name import name_process

SPARE_AFTER_MS = 20
"""How long after a container the next one's shim is forked: that one's start needs the processors."""

SPARE_KEPT_MS = 3000
"""How long a shim waits for the next container before it is given up."""

_ALL_DESCRIPTORS = 1 << 20


def main(fd: int, runtime: str, cache: str) -> None:
    """Serve the daemon on the seqpacket socket `fd` until it closes its end.

    `runtime` is `module:Class`, made with the directory `cache` for what is worth keeping.
    """
    name_process("tiffin-spawner")
    # What the daemon inherited itself would be kept open as long as any container runs.
    os.closerange(3, fd)
    os.closerange(fd + 1, _ALL_DESCRIPTORS)
    os.setsid()
    os.chdir("/")
    os.umask(0o022)
    # Children are collected by the kernel; a terminal's Ctrl-C is the daemon's business alone.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    daemon = socket.socket(fileno=fd)
    maker = load_runtime(runtime, Path(cache))
    gc.collect()
    gc.freeze()
    gc.disable()
    _serve(daemon, maker)


def _serve(daemon: socket.socket, maker: Runtime) -> None:
    """Pass requests on until the daemon closes its end.

    A spare shim is forked ahead of the next request, as containers rarely come alone; when nothing
    comes for a while it goes, and with it the memory that an idle engine has no use for.
    """
    poll = select.poll()
    poll.register(daemon, select.POLLIN)
    spare: socket.socket | None = None
    is_expecting = False
    while True:
        if is_expecting and not poll.poll(SPARE_AFTER_MS):
            spare = _fork_spare(daemon, maker)
            if not poll.poll(SPARE_KEPT_MS):
                spare.close()
                spare = None
        is_expecting = True
        packet = protocol.receive_packet(daemon)
        if not packet[0]:
            return
        spare = spare or _fork_spare(daemon, maker)
        try:
            protocol.send_packet(spare, packet)
        except OSError:
            # Somebody has killed it; the next one is as good.
            spare.close()
            spare = _fork_spare(daemon, maker)
            protocol.send_packet(spare, packet)
        protocol.close_all(packet[1])
        spare.close()
        spare = None


def _fork_spare(daemon: socket.socket, runtime: Runtime) -> socket.socket:
    """Fork a shim that waits for its task, so that nobody waits for the fork."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        daemon.close()
        ours.close()
        keeper.run(theirs, runtime)
    theirs.close()
    return ours


def load_runtime(name: str, cache: Path) -> Runtime:
    """Return the runtime that `module:Class` names, warm."""
    module, _, attribute = name.partition(":")
    runtime = getattr(importlib.import_module(module), attribute)(cache)
    # Looked up and loaded once here, not in each shim.
    open_group("/warm", getattr(runtime, "layout", None))
    return cast("Runtime", runtime)
