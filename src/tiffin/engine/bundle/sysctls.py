"""`--sysctl`: only what lives in one of the container's own namespaces (namespaces(7))."""

import re
from collections.abc import Mapping

from tiffin.api.types.host_config import HostConfig
from tiffin.errors import InvalidArgument

_IPC = frozenset({
    "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
    "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
})  # fmt: skip
_NAME = re.compile(r"[a-zA-Z0-9_\-*]+([./][a-zA-Z0-9_\-*]+)*")


def check_sysctls(host: HostConfig) -> None:
    """Raise InvalidArgument for a sysctl that would change the host."""
    for name in host.sysctls or {}:
        if not _NAME.fullmatch(name):
            raise InvalidArgument(f'invalid sysctl "{name}"')
        namespace = _namespace_of(name)
        if not namespace:
            raise InvalidArgument(f'sysctl "{name}" is not in a separate kernel namespace')
        mode = {
            "network": host.network_mode,
            "ipc": host.ipc_mode,
            "uts": host.uts_mode,
        }[namespace]
        if mode == "host":
            raise InvalidArgument(f'sysctl "{name}" not allowed in host {namespace} namespace')


def _namespace_of(name: str) -> str:
    dotted = name.replace("/", ".") if "." not in name.partition("/")[0] else name
    if dotted in _IPC or dotted.startswith("fs.mqueue."):
        return "ipc"
    if dotted.startswith("net."):
        return "network"
    return "uts" if dotted == "kernel.domainname" else ""


def sysctls(host: HostConfig, *, new_network: bool, groups: int = 1 << 31) -> Mapping[str, str]:
    """Return OCI `linux.sysctl`: unprivileged ports and ping work, unless said otherwise.

    `groups` is how many groups there are, from 0 on.
    """
    defaults = {
        "net.ipv4.ip_unprivileged_port_start": "0",
        "net.ipv4.ping_group_range": f"0 {groups - 1}",
    }
    return {**(defaults if new_network else {}), **(host.sysctls or {})}
