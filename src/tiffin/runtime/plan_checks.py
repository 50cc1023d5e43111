"""What a configuration may not ask for: parameters and mount points that are the host's own."""

import os

from tiffin.errors import InvalidArgument
from tiffin.runtime.config import Config
from tiffin.runtime.namespace_operations import sysctl_path

# Files of /proc that others provide per container (by bind mounts); all else there is off limits.
_PROC_FILES = {
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps",
    "/proc/uptime", "/proc/loadavg", "/proc/slabinfo", "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
}  # fmt: skip
_IPC_PARAMETERS = {
    "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall",
    "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced",
}  # fmt: skip


def check_sysctl(config: Config, name: str) -> None:
    """Refuse parameters that are the host's own, whatever namespaces the container has."""
    path = sysctl_path(name).removeprefix("/proc/sys/")
    if ".." in path.split("/") or path.startswith("/"):
        raise InvalidArgument(f'sysctl "{name}" is not a kernel parameter')
    owner = ""
    if path.startswith("net/"):
        owner = "network"
    elif path.startswith("fs/mqueue/") or path in _IPC_PARAMETERS:
        owner = "ipc"
    elif path in ("kernel/hostname", "kernel/domainname"):
        owner = "uts"
    if not owner or config.namespace(owner) is None:
        raise InvalidArgument(f'sysctl "{name}" is not in a separate kernel namespace')


def check_mount(fstype: str, source: str, target: str) -> None:
    """Refuse to mount over the root, or what could stand in for the host's /proc."""
    path = os.path.normpath("/" + target.lstrip("/"))
    if path == "/":
        raise InvalidArgument(f'error mounting "{source}": the destination may not be the root')
    if fstype == "proc" and path != "/proc":
        raise InvalidArgument(
            f'error mounting "{source}" to rootfs at "{target}": proc goes to /proc'
        )
    if path.startswith("/proc/") and path not in _PROC_FILES:
        raise InvalidArgument(
            f'error mounting "{source}" to rootfs at "{target}": '
            f'"{target}" cannot be mounted because it is inside /proc'
        )
