"""The spawner: one warm, single-threaded process that forks shims.

It runs from a sealed copy of the interpreter (`sealed.py`), has loaded what a shim needs, and holds
no state: each request comes with the one descriptor that becomes the shim's channel. It ends when
the daemon's end of its socket closes; shims go on. Nothing else may run in it: between fork and
exec, a single thread is what makes Python safe.
"""

import gc
import importlib
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import NoReturn, cast

from tiffin.runtime.runtime import Runtime
from tiffin.shim import protocol
from tiffin.shim.loop import Loop
from tiffin.shim.supervisor import Supervisor


def main(fd: int, runtime: str, cache: str) -> None:
    """Serve the daemon on the seqpacket socket `fd` until it closes its end.

    `runtime` is `module:Class`, made with the directory `cache` for what is worth keeping.
    """
    _name("tiffin-spawner")
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
    assembler = protocol.Assembler()
    while True:
        packet = protocol.receive_packet(daemon)
        if not packet[0]:
            return
        complete = assembler.feed(*packet)
        if complete is None:
            continue
        message, fds = complete
        if isinstance(message, protocol.Spawn) and len(fds) == 1 and not os.fork():
            daemon.close()
            _be_shim(fds[0], maker)
        protocol.close_all(fds)


def load_runtime(name: str, cache: Path) -> Runtime:
    """Return the runtime that `module:Class` names, warm."""
    module, _, attribute = name.partition(":")
    runtime = getattr(importlib.import_module(module), attribute)(cache)
    getattr(runtime, "layout", None)  # looked up once here, not in each shim
    return cast("Runtime", runtime)


def _be_shim(channel: int, runtime: Runtime) -> NoReturn:
    code = 1
    try:
        os.setsid()
        _name("tiffin-shim")
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The daemon's stderr would be kept open long after the daemon.
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(null)
        loop = Loop()
        supervisor = Supervisor(loop, runtime)
        supervisor.adopt(socket.socket(fileno=channel))
        loop.run()
        code = 0
    except BaseException:  # noqa: BLE001  # whatever it is, it must not return into the spawner
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def _name(name: str) -> None:
    with open("/proc/self/comm", "w", encoding="ascii") as file:
        file.write(name)
