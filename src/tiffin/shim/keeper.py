"""A shim's two processes: one makes the task, the other keeps it.

    spawner ── fork ──► keeper ── fork ──► maker
                          │                  │◄── Spawn + channel (waits for it, ready-made)
                          │                  │    creates and starts the task, serves the daemon
                          │◄─── Handover ────│    as soon as all is quiet; the maker ends
                          │    waits for any event, then is the supervisor itself

Making a task touches megabytes of pages that were shared with the spawner; waiting touches next to
none. So it is the process that has done nothing but wait which stays with a quiet container. The
keeper is a child subreaper: init becomes its child when the maker ends, and so do processes that
containers without a PID namespace of their own leave behind.

If the maker ends without a handover, the task is over, and so is the keeper.
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Collection
from typing import NoReturn

from tiffin.linux.syscalls import PR_SET_CHILD_SUBREAPER, prctl
from tiffin.runtime.runtime import Runtime
from tiffin.shim import protocol
from tiffin.shim.loop import READ, Loop
from tiffin.shim.process_name import name_process
from tiffin.shim.supervisor import Supervisor


def run(request: socket.socket, runtime: Runtime) -> NoReturn:
    """Be a shim whose channel comes with a message on `request`; never returns."""
    code = 1
    try:
        os.setsid()
        name_process("tiffin-shim")
        # The daemon's stderr would be kept open long after the daemon.
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        for fd in range(3):
            os.dup2(null, fd)
        os.close(null)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        keeper, maker = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        children = _Children()
        pid = os.fork()
        if pid == 0:
            keeper.close()
            children.ignore()
            _make(request, runtime, maker)
        else:
            request.close()
            maker.close()
            _keep(keeper, pid, children, runtime)
        code = 0
    except BaseException:  # noqa: BLE001  # whatever it is, it must not return into the spawner
        import traceback  # rarely needed

        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def _make(request: socket.socket, runtime: Runtime, keeper: socket.socket) -> None:
    loop = Loop()
    supervisor = Supervisor(loop, runtime, keeper)
    if not select.select([request], [], [], 0)[0]:
        runtime.prepare()  # nobody waits yet
    body, fds = protocol.receive_packet(request)
    request.close()
    if body and len(fds) == 1:
        supervisor.adopt(socket.socket(fileno=fds[0]))
        loop.run()


def _keep(maker: socket.socket, pid: int, children: "_Children", runtime: Runtime) -> None:
    assembler = protocol.Assembler()
    poll = select.poll()
    poll.register(maker, select.POLLIN)
    poll.register(children.wake_fd, select.POLLIN)
    handover: tuple[protocol.Handover, list[int]] | None = None
    while True:
        for fd, _events in poll.poll():
            if fd == children.wake_fd:
                children.collect_others({pid} if handover is None else {handover[0].pid})
            elif handover is not None:
                _go_on(*handover, children, runtime)
                return
            else:
                body, fds = protocol.receive_packet(maker)
                complete = assembler.feed(body, fds) if body else None
                if complete is not None and isinstance(complete[0], protocol.Handover):
                    handover = complete[0], complete[1]
                    poll.unregister(maker)
                    for watched in _watched(*handover):
                        poll.register(watched, select.POLLIN)
                if complete is not None or not body:
                    # Once it is collected, its children are ours.
                    os.waitpid(pid, 0)
                if not body:
                    return


def _watched(message: protocol.Handover, fds: list[int]) -> list[int]:
    silent = ("stdin", "netns", "rtnetlink", "nfnetlink")
    return [fd for name, fd in zip(message.names, fds, strict=True) if name not in silent]


def _go_on(
    message: protocol.Handover, fds: list[int], children: "_Children", runtime: Runtime
) -> None:
    loop = Loop()
    supervisor = Supervisor(loop, runtime)
    supervisor.resume(message, fds)
    loop.add(children.wake_fd, READ, lambda _events: children.collect_others(supervisor.children))
    loop.run()


class _Children:
    """Hears of children that end, and collects those that nobody waits for."""

    def __init__(self) -> None:
        self.wake_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _nothing)

    def ignore(self) -> None:
        """Leave it to others, in another process."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(self.wake_fd)
        os.close(self._write_fd)

    def collect_others(self, known: Collection[int]) -> None:
        """Collect ended children that are not among `known`."""
        os.read(self.wake_fd, 4096)
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in known:
                return
            os.waitpid(found.si_pid, 0)


def _nothing(_signal: int, _frame: object) -> None:
    """Be called, so that the wake-up descriptor is written to."""
