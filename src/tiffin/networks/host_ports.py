"""Ports of the host: reserved by really binding them, so that nobody else gets them.

The sockets are handed to the container's shim, which keeps them for as long as the container runs
and serves what address translation does not catch (`::1`, IPv6 clients of an IPv4 container).
"""

import errno
import os
import socket
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path

from tiffin.errors import FailedPrecondition
from tiffin.networks.driver import PortMapping

EPHEMERAL_FIRST, EPHEMERAL_LAST = 32768, 60999
LISTEN_BACKLOG = 128
KEPT_SOCKETS = 64
"""Per container; further ports are tried by binding but then rely on address translation alone."""

IPPROTO_SCTP = 132
FORWARDED = ("tcp", "udp")
"""Protocols that the shim forwards."""

Taken = Container[tuple[str, str, int]]
"""Protocol, host address, port of what our other containers have."""


@dataclass(frozen=True, slots=True)
class PortWish:
    """One container port to publish: on these host addresses, on one of the ports first…last.

    0 as `first` means any port of the ephemeral range; it will be the same on all addresses.
    """

    protocol: str
    container_port: int
    host_ips: tuple[str, ...]
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class BoundSocket:
    """A socket (owned by who holds this) bound for one port of a mapping."""

    fd: int
    protocol: str
    container_port: int
    host_ip: str


class HostPorts:
    """Chooses and binds host ports."""

    def __init__(self) -> None:
        self._next = EPHEMERAL_FIRST

    def reserve(
        self, wishes: Sequence[PortWish], taken: Taken
    ) -> tuple[list[PortMapping], list[BoundSocket]]:
        """Bind what is wished for; FailedPrecondition with nothing bound if a port is not free."""
        mappings: list[PortMapping] = []
        sockets: list[BoundSocket] = []
        with ExitStack() as undo:
            for wish in wishes:
                port, fds = self._bind_any(wish, taken)
                for host_ip, fd in fds:
                    if fd >= 0 and wish.protocol in FORWARDED and len(sockets) < KEPT_SOCKETS:
                        undo.callback(os.close, fd)
                        bound = BoundSocket(fd, wish.protocol, wish.container_port, host_ip)
                        sockets.append(bound)
                    elif fd >= 0:
                        os.close(fd)
                    mappings.append(PortMapping(wish.protocol, wish.container_port, host_ip, port))
            undo.pop_all()
        return mappings, sockets

    def _bind_any(self, wish: PortWish, taken: Taken) -> tuple[int, list[tuple[str, int]]]:
        failure: FailedPrecondition | None = None
        for port in self._ports(wish):
            try:
                fds = _bind_all(wish, port, taken)
            except FailedPrecondition as error:
                failure = error
                continue
            if not wish.first:
                self._next = port + 1
            return port, fds
        if failure is not None and wish.first == wish.last and wish.first:
            raise failure
        first, last = (wish.first, wish.last) if wish.first else (EPHEMERAL_FIRST, EPHEMERAL_LAST)
        raise FailedPrecondition(
            f"Bind for {wish.host_ips[0]}:{first}-{last} failed: all ports are allocated"
        )

    def _ports(self, wish: PortWish) -> Iterator[int]:
        if wish.first:
            yield from range(wish.first, wish.last + 1)
            return
        start = self._next if self._next <= EPHEMERAL_LAST else EPHEMERAL_FIRST
        yield from range(start, EPHEMERAL_LAST + 1)
        yield from range(EPHEMERAL_FIRST, start)


def has_ipv6() -> bool:
    """Tell whether the host speaks IPv6 at all."""
    try:
        disabled = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text()
    except FileNotFoundError:
        return False
    return disabled.strip() == "0"


def merge(mappings: Iterable[PortMapping]) -> tuple[PortMapping, ...]:
    """Join mappings of neighbouring ports, so that a large range stays one thing."""
    merged: list[PortMapping] = []
    for mapping in sorted(mappings, key=_order):
        last = merged[-1] if merged else None
        if last is not None and mapping == replace(
            last,
            container_port=last.container_port + last.count,
            host_port=last.host_port + last.count,
            count=mapping.count,
        ):
            merged[-1] = replace(last, count=last.count + mapping.count)
        else:
            merged.append(mapping)
    return tuple(merged)


def _order(mapping: PortMapping) -> tuple[object, ...]:
    return mapping.protocol, mapping.host_ip, mapping.host_port, mapping.container_port


def _bind_all(wish: PortWish, port: int, taken: Taken) -> list[tuple[str, int]]:
    with ExitStack() as undo:
        fds: list[tuple[str, int]] = []
        for host_ip in wish.host_ips:
            for other in _overlapping(host_ip):
                if (wish.protocol, other, port) in taken:
                    raise FailedPrecondition(
                        f"Bind for {_shown(host_ip)}:{port} failed: port is already allocated"
                    )
            fd = _bind(wish, host_ip, port)
            if fd >= 0:
                undo.callback(os.close, fd)
            fds.append((host_ip, fd))
        undo.pop_all()
    return fds


def _overlapping(host_ip: str) -> Iterable[str]:
    return (host_ip, "0.0.0.0" if ip_address(host_ip).version == 4 else "::")


def _bind(wish: PortWish, host_ip: str, port: int) -> int:
    """Return a bound socket, -1 for a protocol that this kernel has no sockets for."""
    try:
        sock = _SOCKETS[wish.protocol](
            socket.AF_INET if ip_address(host_ip).version == 4 else socket.AF_INET6
        )
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT):
            return -1
        raise
    try:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if wish.protocol != "udp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host_ip, port))
        if wish.protocol != "udp":
            sock.listen(LISTEN_BACKLOG)
    except OSError as error:
        sock.close()
        raise FailedPrecondition(
            f"failed to bind host port {_shown(host_ip)}:{port}/{wish.protocol}: "
            f"{os.strerror(error.errno or errno.EIO).lower()}"
        ) from error
    return sock.detach()


def _shown(host_ip: str) -> str:
    return f"[{host_ip}]" if ":" in host_ip else host_ip


_SOCKETS: dict[str, Callable[[int], socket.socket]] = {
    "tcp": lambda family: socket.socket(family, socket.SOCK_STREAM),
    "udp": lambda family: socket.socket(family, socket.SOCK_DGRAM),
    "sctp": lambda family: socket.socket(family, socket.SOCK_STREAM, IPPROTO_SCTP),
}
