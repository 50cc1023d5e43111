"""Settings of one interface: the option `com.docker.network.endpoint.sysctls`.

`net.ipv4.conf.IFNAME.log_martians=1,…`; they are written by a thread that enters the container's
network namespace, since /proc/sys/net shows the namespace of who looks.
"""

import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from tiffin.errors import InvalidArgument
from tiffin.linux.syscalls import CLONE_NEWNET, setns

OPTION_SYSCTLS = "com.docker.network.endpoint.sysctls"
# The command line writes its options in lower case.
_SETTING = re.compile(r"net\.(ipv4|ipv6|mpls)\.(\w+)\.(?:IFNAME|ifname)\.(\w+)=(.*)", re.ASCII)


def interface_sysctls(options: Mapping[str, str]) -> list[tuple[str, str, str, str]]:
    """Return (family, kind, setting, value) of each; InvalidArgument in Docker's words."""
    found: list[tuple[str, str, str, str]] = []
    for text in filter(None, options.get(OPTION_SYSCTLS, "").split(",")):
        match = _SETTING.fullmatch(text)
        if match is None:
            raise InvalidArgument(
                f"invalid endpoint settings:\nunrecognised network interface sysctl '{text}';"
                " represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4',"
                " 'ipv6' or 'mpls'"
            )
        family, kind, setting, value = match.groups()
        found.append((family, kind, setting, value))
    return found


def write_interface_sysctls(netns: int, interface: str, options: Mapping[str, str]) -> None:
    """Write them in the namespace of a descriptor; OSError."""
    settings = interface_sysctls(options)
    if settings:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(_write, netns, interface, settings).result()


def _write(netns: int, interface: str, settings: list[tuple[str, str, str, str]]) -> None:
    setns(netns, CLONE_NEWNET)
    for family, kind, setting, value in settings:
        path = f"/proc/sys/net/{family}/{kind}/{interface}/{setting}"
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, value.encode())
        finally:
            os.close(file)
