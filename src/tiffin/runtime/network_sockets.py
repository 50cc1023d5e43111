"""Sockets of a network namespace, for whoever plugs it in and answers its DNS queries."""

import os
import socket

from tiffin.linux import namespaces, syscalls
from tiffin.linux.syscalls import CLONE_NEWNET
from tiffin.runtime.runtime import NetworkSockets

DNS_ADDRESS = "127.0.0.11"

_NETLINK_ROUTE = 0
_NETLINK_NETFILTER = 12


def open_here(*, dns: bool) -> NetworkSockets:
    """Open them in the caller's namespace, whose `lo` is up. The descriptors are the caller's."""
    flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    sockets = [
        socket.socket(socket.AF_NETLINK, flags, family)
        for family in (_NETLINK_ROUTE, _NETLINK_NETFILTER)
    ]
    if dns:
        sockets += _dns_sockets()
    netns = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    return NetworkSockets(netns, *(item.detach() for item in sockets))


def open_in(pid: int, *, dns: bool) -> NetworkSockets:
    """Open them in the namespace of a process; the caller, of one thread, goes there and back."""
    own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.join(f"/proc/{pid}/ns/net", namespaces.NETWORK)
        try:
            namespaces.raise_loopback()
            return open_here(dns=dns)
        finally:
            syscalls.setns(own, CLONE_NEWNET)
    finally:
        os.close(own)


def descriptors(sockets: NetworkSockets) -> tuple[int, ...]:
    """Return all in the order of their fields; -1 for what was not asked for."""
    return (
        sockets.netns, sockets.rtnetlink, sockets.nfnetlink, sockets.dns_udp, sockets.dns_tcp
    )  # fmt: skip


def _dns_sockets() -> list[socket.socket]:
    sockets = []
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        server = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC)
        server.bind((DNS_ADDRESS, 0))
        if kind == socket.SOCK_STREAM:
            server.listen(64)
        sockets.append(server)
    return sockets
