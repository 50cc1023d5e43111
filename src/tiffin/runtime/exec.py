"""A further process in a running container: joins its namespaces, then lives under its rules."""

import errno
import os
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tiffin.errors import FailedPrecondition
from tiffin.linux import pidfd, syscalls
from tiffin.linux.cgroups.group import Group
from tiffin.linux.namespaces import KINDS, USER, join
from tiffin.linux.syscalls import (
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_PARENT,
    PR_GET_DUMPABLE,
    PR_SET_DUMPABLE,
)
from tiffin.runtime import child
from tiffin.runtime.child import ChildOptions
from tiffin.runtime.config import Config
from tiffin.runtime.config_process import ProcessConfig
from tiffin.runtime.handshake import Channel, Kind, Message, pair
from tiffin.runtime.plan import plan_exec
from tiffin.runtime.runtime import Process, Stdio

if TYPE_CHECKING:
    from tiffin.runtime.hooks import Subject

EXEC_FAILED = "OCI runtime exec failed: exec failed: unable to start container process: "


@dataclass(frozen=True, slots=True)
class Container:
    """The running container: init's pidfd, its cgroup, its configuration and filter."""

    pidfd: int
    group: Group
    config: Config
    program: bytes
    preserved: int = 0
    """So many descriptors after stderr are the process's too."""
    subject: "Subject | None" = None
    init_pid: int = 0
    """What an agent that decides on system calls is told."""
    join_files: tuple[str, ...] | None = None
    """Of other control groups than its own."""
    frozen_is_fine: bool = False
    """Make the process though it stands still until the container is thawed."""


def execute_in(
    container: Container, process: ProcessConfig, stdio: Stdio, warn: Callable[[str], None]
) -> Process:
    """Execute `process` in the container; FailedPrecondition with runc's wording."""
    if container.group.is_frozen() and not container.frozen_is_fine:
        raise FailedPrecondition(
            "OCI runtime exec failed: cannot exec in a paused container: unknown"
        )
    with ExitStack() as undo:
        # The child stands in the container's PID namespace from its first instruction on; until it
        # executes the program, nobody in there may trace it (CVE-2016-9962).
        if syscalls.prctl(PR_GET_DUMPABLE) == 1:
            syscalls.prctl(PR_SET_DUMPABLE, 0)
            undo.callback(syscalls.prctl, PR_SET_DUMPABLE, 1)
        # Planned before the fork: in the child, each page that is touched is copied first.
        steps = plan_exec(
            process,
            container.group.join_files() if container.join_files is None else container.join_files,
            container.config,
            container.program,
            container.subject,
            container.init_pid,
        )
        ours, theirs = pair()
        undo.callback(ours.close)
        pid, descriptor = _fork(container)
        if pid == 0:
            ours.close()
            choices = ChildOptions(
                gated=False,
                keep=(container.pidfd,),
                preserved=container.preserved,
                enter=lambda: _enter(container),
            )
            child.run(steps, process, theirs, stdio, choices)
        theirs.close()
        console = _follow(ours, descriptor, warn)
    return Process(pid, descriptor, console)


def clone_in(namespace: int, nstype: int, flags: int, cgroup: int) -> tuple[int, int]:
    """Fork with the child in another PID namespace; the caller itself stays where it is."""
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(namespace, nstype or CLONE_NEWPID)
        try:
            pid, descriptor = syscalls.clone3(flags, exit_signal=signal.SIGCHLD, cgroup=cgroup)
        except OSError:
            syscalls.setns(own, CLONE_NEWPID)
            raise
        if pid != 0:
            syscalls.setns(own, CLONE_NEWPID)
        return pid, descriptor
    finally:
        os.close(own)


def clone_in_user(user: str, pid_namespace: str, flags: int, cgroup: int) -> tuple[int, int]:
    """Fork with the child in another user namespace, which then owns all its new namespaces.

    `user` and `pid_namespace` ("" for none) are files of namespaces. A process cannot come back
    from a user namespace, so one in between goes there and makes the child, as its sibling.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    with ours, theirs:
        between, descriptor = syscalls.clone3(0, exit_signal=signal.SIGCHLD)
        if between == 0:
            if _make_sibling(user, pid_namespace, flags, cgroup, theirs):
                return 0, -1
            os._exit(0)
        theirs.close()
        answer, descriptors, _, _ = socket.recv_fds(ours, 64, 1)
        os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
        os.close(descriptor)
    number = int(answer or -errno.EIO)
    if number < 0:
        raise OSError(-number, os.strerror(-number), user)
    return number, descriptors[0]


def _make_sibling(
    user: str, pid_namespace: str, flags: int, cgroup: int, channel: socket.socket
) -> bool:
    """Make the child and report it; True in the child itself."""
    try:
        place = os.open(pid_namespace, os.O_RDONLY | os.O_CLOEXEC) if pid_namespace else -1
        join(user, USER)
        if place >= 0:
            syscalls.setns(place, CLONE_NEWPID)
        pid, descriptor = syscalls.clone3(flags | CLONE_PARENT, cgroup=cgroup)
        if pid == 0:
            return True
        socket.send_fds(channel, [str(pid).encode()], [descriptor])
    except OSError as error:
        channel.send(str(-(error.errno or errno.EIO)).encode())
    return False


def _fork(container: Container) -> tuple[int, int]:
    directory = -1
    try:
        if container.group.directory():
            directory = os.open(container.group.directory(), os.O_RDONLY | os.O_CLOEXEC)
        return clone_in(container.pidfd, CLONE_NEWPID, 0, directory)
    except OSError as error:
        raise FailedPrecondition(f"{EXEC_FAILED}{error}: unknown") from error
    finally:
        if directory >= 0:
            os.close(directory)


def _enter(container: Container) -> None:
    flags = sum(KINDS[item.kind].flag for item in container.config.namespaces if item.kind != "pid")
    syscalls.setns(container.pidfd, flags)
    if flags & CLONE_NEWUSER:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    os.close(container.pidfd)


def _follow(channel: Channel, descriptor: int, warn: Callable[[str], None]) -> int:
    """Read what the child says until it executes its program; return the console."""
    console = -1
    while True:
        message = channel.receive()
        if message.kind is Kind.WARNING:
            warn(message.text)
        elif message.kind is Kind.READY and message.descriptors:
            console = message.descriptors[0]
        elif message.kind is Kind.ERROR:
            _fail(message, descriptor, console)
        elif message.kind is Kind.CLOSED:
            return console


def _fail(message: Message, descriptor: int, console: int) -> None:
    if console >= 0:
        os.close(console)
    pidfd.kill(descriptor)
    pidfd.wait(descriptor)
    os.close(descriptor)
    raise FailedPrecondition(f"{EXEC_FAILED}{message.text}: unknown")
