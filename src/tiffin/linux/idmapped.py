"""Overlays whose layers are idmapped mounts (overlayfs.rst, idmapped layers; Linux 5.19).

An overlay itself cannot be idmapped, its layers can: what it stores has the container's own ids,
so that all containers share image layers whatever their user namespaces, and what it shows has the
host's. All is mounted by root of the host, since a container's root may not.
"""

import errno
import os
import socket
from contextlib import ExitStack

from tiffin.linux import mounts, syscalls
from tiffin.linux.mount_api import (
    AT_FDCWD,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_FLAG,
    FSCONFIG_SET_STRING,
    MS_PRIVATE,
    MS_REC,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    fsconfig,
    fsconfig_fd,
    fsmount,
    fsopen,
    mount,
    open_tree,
)
from tiffin.linux.mount_options import MountOptions
from tiffin.spec.mount import Mount

_LAYERS = ("lowerdir", "upperdir", "workdir")


def overlay(item: Mount, options: MountOptions, owners: int) -> int:
    """Return a detached overlay of idmapped layers; OSError.

    The caller must be single-threaded (or have Linux 6.15), and create files as an id that is
    mapped (`user_namespace.file_owner`): it is with the mounter's credentials that overlayfs makes
    whiteouts.
    """
    with ExitStack() as scope:
        layers = _Layers(options, owners, scope)
        try:
            return _assemble(options, layers)
        except OSError as error:
            if mounts.kernel_release() >= (6, 15):
                raise OSError(error.errno, error.strerror, f"overlay {item.source}") from None
        return _in_own_namespace(options, layers)


class _Layers:
    """The idmapped clones of an overlay's layers, as (key, descriptor)."""

    def __init__(self, options: MountOptions, owners: int, scope: ExitStack) -> None:
        values = dict(options.parameters)
        self.clones: list[int] = []
        self.directories: list[tuple[str, int]] = []
        for path in mounts.split_lowerdir(values.get("lowerdir") or ""):
            self.directories.append(("lowerdir+", self._clone(path, owners, scope)))
        upper, work = values.get("upperdir"), values.get("workdir")
        if upper and work:
            # Both must lie in one mount, so what is cloned is the directory that holds them.
            above = os.path.commonpath((upper, work))
            clone = self._clone(above, owners, scope)
            for key, path in (("upperdir", upper), ("workdir", work)):
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(os.path.relpath(path, above), flags, dir_fd=clone)
                scope.callback(os.close, fd)
                self.directories.append((key, fd))

    def _clone(self, path: str, owners: int, scope: ExitStack) -> int:
        fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
        scope.callback(os.close, fd)
        mounts.map_owners(fd, path, owners)
        self.clones.append(fd)
        return fd


def _assemble(options: MountOptions, layers: _Layers) -> int:
    """Mount with the layers given as descriptors (Linux 6.13; of detached mounts 6.15)."""
    context = fsopen("overlay")
    try:
        fsconfig(context, FSCONFIG_SET_STRING, "source", "overlay")
        for key, value in options.parameters:
            if key not in _LAYERS:
                command = FSCONFIG_SET_FLAG if value is None else FSCONFIG_SET_STRING
                fsconfig(context, command, key, value)
        for key, fd in layers.directories:
            fsconfig_fd(context, key, fd)
        fsconfig(context, FSCONFIG_CMD_CREATE)
        return fsmount(context)
    finally:
        os.close(context)


def _assemble_attached(options: MountOptions, layers: _Layers) -> int:
    """Mount by mount(2), with the layers given by their paths in this mount namespace."""
    words = [
        key if value is None else f"{key}={value}"
        for key, value in options.parameters
        if key not in _LAYERS
    ]
    lower = [f"/proc/self/fd/{fd}" for key, fd in layers.directories if key == "lowerdir+"]
    words.append("lowerdir=" + ":".join(lower))
    words += [f"{key}=/proc/self/fd/{fd}" for key, fd in layers.directories if key != "lowerdir+"]
    place = "/tmp/overlay"  # a tmpfs of this namespace alone
    os.mkdir(place)
    mount("overlay", place, "overlay", 0, ",".join(words))
    return open_tree(AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)


def _in_own_namespace(options: MountOptions, layers: _Layers) -> int:
    """Attach the layers first, as older kernels want it, in a mount namespace that goes at once."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            _assemble_and_send(options, layers, theirs)
        theirs.close()
        text, descriptors, _, _ = socket.recv_fds(ours, 4096, 1)
        os.waitpid(pid, 0)
    if descriptors:
        return descriptors[0]
    number, _, reason = text.decode(errors="replace").partition(" ")
    raise OSError(int(number or errno.EIO), reason or "the helper ended", "overlay")


def _assemble_and_send(options: MountOptions, layers: _Layers, channel: socket.socket) -> None:
    try:
        syscalls.unshare(syscalls.CLONE_NEWNS)
        mount("", "/", "", MS_PRIVATE | MS_REC)
        mount("tmpfs", "/tmp", "tmpfs", 0, "mode=700")  # of this namespace alone
        for number, fd in enumerate(layers.clones):
            place = f"/tmp/{number}"
            os.mkdir(place)
            at = os.open(place, os.O_PATH | os.O_CLOEXEC)
            mounts.attach(fd, at, place)
            os.close(at)
        made = _assemble_attached(options, layers)
        socket.send_fds(channel, [b"0"], [made])
        os._exit(0)
    except OSError as error:
        channel.send(f"{error.errno} {error.strerror}".encode())
    except BaseException as error:  # noqa: BLE001 - the child must not go on in the parent's code
        channel.send(f"{errno.EIO} {error!r}".encode())
    finally:
        os._exit(1)
