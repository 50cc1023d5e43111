"""What root of the host mounts for a child that may not do so itself.

That are: everything in a user namespace but the kernel's own small file systems, since a directory
on the way may be closed to the container's root; idmapped mounts; and mounts of another container's
mount namespace. All are detached mounts, which the child inherits as descriptors and attaches.
"""

import errno
import os
import signal
import socket
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field

from tiffin.linux import mounts, rlimits, syscalls
from tiffin.linux.cgroups.group import write
from tiffin.linux.mount_api import (
    AT_EMPTY_PATH,
    AT_RECURSIVE,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    open_tree,
)
from tiffin.linux.mount_options import parse
from tiffin.linux.namespaces import MOUNT, join
from tiffin.linux.syscalls import AT_FDCWD, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, openat2
from tiffin.linux.user_namespace import file_owner, open_user_namespace
from tiffin.runtime.config import Config
from tiffin.spec.id_mapping import IdMappings, parse_map
from tiffin.spec.mount import Mount

NAMESPACE = "x-mount-namespace"
"""`x-mount-namespace=/proc/7/ns/mnt` among the options of a bind: its source is seen from there."""

_CHILD_MAY = frozenset({"proc", "sysfs", "devpts", "tmpfs", "mqueue", "cgroup", "cgroup2"})


@dataclass(frozen=True, slots=True)
class Outside:
    """Descriptors of detached mounts: the root (-1 for none), and by place in `Config.mounts`."""

    root: int = -1
    mounts: dict[int, int] = field(default_factory=dict)


def mount_outside(config: Config, undo: ExitStack) -> Outside:
    """Mount it; `undo` closes the descriptors. OSError."""
    owners = _Owners(config, undo)
    in_user_namespace = config.namespace("user") is not None
    root = -1
    if in_user_namespace and config.rootfs:
        with owners.creating_files():
            root = mounts.detached(config.rootfs, owners.of_root())
        undo.callback(os.close, root)
    made: dict[int, int] = {}
    for index, item in enumerate(config.mounts):
        if _is_outside(config, index, in_user_namespace=in_user_namespace):
            made[index] = _mount(item, owners, index)
            undo.callback(os.close, made[index])
    return Outside(root, made)


def _is_outside(config: Config, index: int, *, in_user_namespace: bool) -> bool:
    item = config.mounts[index]
    if index in config.idmaps or _namespace_of(item):
        return True
    return in_user_namespace and item.fstype not in _CHILD_MAY


def _namespace_of(item: Mount) -> str:
    return dict(parse(item.options).parameters).get(NAMESPACE) or ""


def _mount(item: Mount, owners: "_Owners", index: int) -> int:
    namespace = _namespace_of(item)
    if namespace:
        fd = _bind_from(namespace, item.source)
        mounts.set_attributes(fd, parse(item.options))
        return fd
    with owners.creating_files():
        return mounts.create(item, owners.of(index))


class _Owners:
    """User namespaces by their maps, each made once."""

    def __init__(self, config: Config, undo: ExitStack) -> None:
        self._config = config
        self._undo = undo
        self._made: dict[IdMappings, int] = {}
        self._own = _own_mappings(config)

    def of_root(self) -> int:
        """Return the namespace for the root's owners, -1 if they are shown as they are."""
        needed = any(parse(item.options).idmap for item in self._config.rootfs)
        return self._open(self._own) if needed else -1

    def of(self, index: int) -> int:
        """Return the namespace for the owners of the mount with that index, -1 for none."""
        if index not in self._config.idmaps:
            return -1
        return self._open(self._config.idmaps[index] or self._own)

    def creating_files(self) -> AbstractContextManager[None]:
        """Act as the container's root meanwhile: overlayfs makes files with these credentials."""
        root = self._own.root
        return nullcontext() if root is None else file_owner(*root)

    def _open(self, mappings: IdMappings) -> int:
        if mappings not in self._made:
            self._made[mappings] = open_user_namespace(mappings)
            self._undo.callback(os.close, self._made[mappings])
        return self._made[mappings]


def grant(config: Config, pid: int) -> None:
    """Give the child what root of a user namespace may not take: higher limits, a lower OOM score.

    What the host does not grant either, the child itself will warn of.
    """
    process = config.process
    for limit in process.rlimits:
        if limit.name in rlimits.NUMBERS:
            with suppress(OSError, ValueError):
                rlimits.apply_to(pid, limit)
    if process.oom_score_adj is not None:
        with suppress(PermissionError):
            write(f"/proc/{pid}/oom_score_adj", str(process.oom_score_adj))


def _own_mappings(config: Config) -> IdMappings:
    """Return the maps of the container's own user namespace, or of the one that it joins."""
    given = IdMappings(config.uid_mappings, config.gid_mappings)
    joined = config.namespace("user")
    if given or joined is None:
        return given
    pid = joined.path.removeprefix("/proc/").removesuffix("/ns/user")
    return mappings_of(int(pid)) if pid.isascii() and pid.isdigit() else given


def mappings_of(pid: int) -> IdMappings:
    """Return the maps of the user namespace of a process; OSError."""
    maps = []
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
            maps.append(parse_map(file.read()))
    return IdMappings(*maps)


def _bind_from(namespace: str, path: str) -> int:
    """Return a detached copy of what another mount namespace has at `path`; OSError.

    A child goes there and passes it on: the caller itself could not come back without a trace.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    with ours, theirs:
        pid, pidfd = syscalls.clone3(0, exit_signal=signal.SIGCHLD)
        if pid == 0:
            _send_tree(namespace, path, theirs)
        theirs.close()
        answer, descriptors, _, _ = socket.recv_fds(ours, 64, 1)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
        os.close(pidfd)
    if descriptors:
        return descriptors[0]
    number = int(answer or errno.EIO)
    raise OSError(number, os.strerror(number), path)


def _send_tree(namespace: str, path: str, channel: socket.socket) -> None:
    number = errno.EIO
    try:
        join(namespace, MOUNT)
        resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
        place = openat2(AT_FDCWD, path, os.O_PATH, resolve=resolve)
        flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE
        socket.send_fds(channel, [b"0"], [open_tree(place, "", flags)])
        os._exit(0)
    except OSError as error:
        number = error.errno or number
    finally:
        channel.send(str(number).encode())
        os._exit(1)
