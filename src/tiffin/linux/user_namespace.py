"""User namespaces as descriptors, and file access as one of their users (user_namespaces(7)).

A mount is idmapped by a user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP), of which only the maps
count. So one is made by a child that ends at once.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tiffin.linux import syscalls
from tiffin.linux.abi import invoke
from tiffin.spec.id_mapping import IdMappings, format_map


def open_user_namespace(mappings: IdMappings) -> int:
    """Return a descriptor of a new user namespace with these maps; OSError.

    Forks, so the caller must be single-threaded.
    """
    gate, release = os.pipe2(os.O_CLOEXEC)
    pidfd = -1
    try:
        pid, pidfd = syscalls.clone3(syscalls.CLONE_NEWUSER, exit_signal=signal.SIGCHLD)
        if pid == 0:
            os.close(release)
            os.read(gate, 1)  # nothing comes; it ends when the parent closes its end
            os._exit(0)
        write_maps(pid, mappings)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(gate)
        os.close(release)
        if pidfd >= 0:
            os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
            os.close(pidfd)


def write_maps(pid: int, mappings: IdMappings) -> None:
    """Map the ids of the user namespace that `pid` was born in; OSError."""
    for name, items in (("uid_map", mappings.uids), ("gid_map", mappings.gids)):
        path = f"/proc/{pid}/{name}"
        # One write(2): the kernel takes the whole map at once, and only once.
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, format_map(items).encode())
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(fd)


@contextmanager
def file_owner(uid: int, gid: int) -> Iterator[None]:
    """Create files as `uid` and `gid` meanwhile, with all privileges kept (setfsuid(2)).

    On an idmapped mount only ids that have a mapping can create anything. Of the calling thread
    alone: the kernel keeps credentials per thread.
    """
    effective, permitted, inheritable = syscalls.capget()
    invoke("setfsgid", "setfsgid", gid)
    invoke("setfsuid", "setfsuid", uid)
    # Leaving 0 takes the privileges over files away.
    syscalls.capset(effective, permitted, inheritable)
    try:
        yield
    finally:
        invoke("setfsuid", "setfsuid", os.geteuid())
        invoke("setfsgid", "setfsgid", os.getegid())
        syscalls.capset(effective, permitted, inheritable)
