"""A child that is forked before anybody has asked for its container.

    runtime                                   spare
       │ ── clone3 ──────────────────────────► │
       │ ◄── NETWORK  + descriptors ────────── │  stands in new namespaces, `lo` is up; goes `ahead.py`
       │            (any time passes)          │
       │ ── ORDER     + stdio ───────────────► │  reads the configuration, plans, goes on as any child

It is used by containers that have new PID, IPC and network namespaces and no user namespace, which
is nearly all; for any other the spare ends and a child is forked as ever. Both sides judge by the
same configuration. What copies the host's state when it is made (mounts, host name) is made late.
"""

import gc
import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from tiffin.linux import namespaces, syscalls
from tiffin.linux.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWPID,
)
from tiffin.runtime import ahead, child, companions, config, network_sockets
from tiffin.runtime.child import ChildOptions
from tiffin.runtime.config import Config
from tiffin.runtime.config_reader import JsonObject
from tiffin.runtime.handshake import Channel, Kind, close_all, pair
from tiffin.runtime.operation import MadeMounts
from tiffin.runtime.plan import Plan, clone_flags
from tiffin.runtime.runtime import NetworkSockets, Stdio

EARLY = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET
_NEW = ("pid", "ipc", "network", "mount")


@dataclass(frozen=True, slots=True)
class Order:
    """What the spare is to become; stdio comes as descriptors."""

    container_id: str
    bundle: str
    init_process: bool
    explain: bool
    rows: int
    columns: int


def fits(document: JsonObject) -> bool:
    """Tell whether a spare can become the first process of a container with that config.json.

    What is wrong in the document is for others to say.
    """
    linux, mounts = document.get("linux"), document.get("mounts") or []
    if document.get("hooks") or not isinstance(linux, dict) or not isinstance(mounts, list):
        return False
    if not isinstance(linux.get("resources") or {}, dict):
        return False
    seccomp = linux.get("seccomp") or {}
    if not isinstance(seccomp, dict) or seccomp.get("listenerPath"):
        return False
    if not isinstance(linux.get("cgroupsPath") or "", str):
        return False
    try:
        found = {item["type"]: item.get("path") or "" for item in linux["namespaces"]}
        mapped = any(_is_mapped(item) for item in mounts)
    except (KeyError, TypeError, AttributeError):
        return False
    return not mapped and "user" not in found and all(found.get(kind) == "" for kind in _NEW)


def _is_mapped(mount: JsonObject) -> bool:
    words = mount.get("options") or ()
    return bool(mount.get("uidMappings") or mount.get("gidMappings")) or bool(
        {"idmap", "ridmap"} & set(words)
    )


class Spare:
    """The runtime's hold on a spare, until it is taken for a container or discarded."""

    def __init__(self, pid: int, descriptor: int, channel: Channel) -> None:
        self.pid = pid
        self.pidfd = descriptor
        self.channel = channel
        self._network: NetworkSockets | None = None
        self._is_ours = True

    def settle(self) -> None:
        """Wait until it stands in its namespaces; OSError if it has ended instead."""
        message = self.channel.receive()
        if message.kind is not Kind.NETWORK:
            close_all(message.descriptors)
            raise OSError(f"the spare child failed: {message.text}")
        self._network = NetworkSockets(*message.descriptors)

    def order(self, order: Order, stdio: Stdio) -> bool:
        """Tell it what to become; False if it has ended meanwhile."""
        fds = [fd for fd in (stdio.stdin, stdio.stdout, stdio.stderr) if fd >= 0]
        text = json.dumps(
            [asdict(order), [fd >= 0 for fd in (stdio.stdin, stdio.stdout, stdio.stderr)]]
        )
        try:
            self.channel.send(Kind.ORDER, text, fds)
        except OSError:
            return False
        return True

    def take(self, *, network: bool, dns: bool) -> NetworkSockets | None:
        """Let go of it, as it has become somebody's child; the sockets are the caller's."""
        self._is_ours = False
        sockets, self._network = self._network, None
        if sockets is None or (network and dns):
            return sockets
        unused = network_sockets.descriptors(sockets)[3 if network else 0 :]
        close_all([fd for fd in unused if fd >= 0])
        if not network:
            return None
        return NetworkSockets(sockets.netns, sockets.rtnetlink, sockets.nfnetlink)

    def discard(self) -> None:
        """End it unless it was taken; idempotent."""
        if not self._is_ours:
            return
        self.take(network=False, dns=False)
        self.channel.close()
        companions.end(self.pidfd)


Prepare = Callable[[str, Config], Plan]
"""Plans a container by its id and configuration."""


def fork(prepare: Prepare) -> Spare:
    """Make a spare; OSError."""
    ours, theirs = pair()
    try:
        pid, descriptor = syscalls.clone3(EARLY, exit_signal=signal.SIGCHLD)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    if pid == 0:
        ours.close()
        _run(theirs, prepare)
    theirs.close()
    spare = Spare(pid, descriptor, ours)
    try:
        spare.settle()
    except BaseException:
        spare.discard()
        raise
    return spare


def _run(channel: Channel, prepare: Prepare) -> NoReturn:
    with child.reporting(channel):
        gc.disable()
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        child.close_others({channel.fileno()})
        namespaces.raise_loopback()
        sockets = network_sockets.descriptors(network_sockets.open_here(dns=True))
        channel.send(Kind.NETWORK, "", sockets)
        close_all(sockets)
        made = ahead.make_mounts()
        ahead.rehearse(prepare("example", ahead.example()))
        message = channel.receive()
        if message.kind is not Kind.ORDER:
            os._exit(0)
        fields, has = json.loads(message.text)
        given = iter(message.descriptors)
        stdio = [next(given) if is_given else -1 for is_given in has]
        _become(channel, Order(**fields), stdio, prepare, made)
    os._exit(1)


def _become(
    channel: Channel, order: Order, stdio: list[int], prepare: Prepare, made: MadeMounts
) -> NoReturn:
    bundle = Path(order.bundle)
    document = config.read(bundle)
    if not fits(document):
        os._exit(0)
    settings = config.parse(document, bundle)
    syscalls.unshare(clone_flags(settings) & ~EARLY)
    plan = prepare(order.container_id, settings)
    if settings.rootfs:
        os.makedirs(settings.root, exist_ok=True)
    child.run(
        plan,
        settings.process,
        channel,
        Stdio(stdio[0], stdio[1], stdio[2], rows=order.rows, columns=order.columns),
        ChildOptions(
            init_process=order.init_process,
            explain=order.explain,
            keep=tuple(fd for fds in made.values() for fd in fds),
            made=made,
        ),
    )
