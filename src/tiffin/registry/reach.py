"""Whom a registry may send us to: not to this machine, unless it is on this machine itself.

A hostile registry names other servers: in redirects, as token servers, in the URLs of foreign
layers. Services that only listen on loopback or answer on link-local addresses (such as those that
hand out a cloud machine's credentials) trust whoever reaches them, so that none of these may lead
there. The check is made on the very addresses that are connected to, which names cannot evade.
"""

# Annotations that stay text keep aiohttp's client out of an idle daemon.
from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver


class Guard:
    """Decides for one registry at `host`; `is_proxy` tells the hosts that the administrator chose."""

    def __init__(self, host: str, is_proxy: Callable[[str], bool]) -> None:
        self._host = host
        self._is_proxy = is_proxy
        self._is_local = is_local(host)

    def check(self, host: str) -> None:
        """Raise PermissionError if `host` is an address of this machine and the registry is not."""
        if is_local(host) and not self._is_local:
            raise refused(host)

    def resolved(self, host: str, addresses: list[str]) -> None:
        """Raise PermissionError if `host` leads here and the registry does not."""
        local = any(map(is_local, addresses))
        if host == self._host:
            self._is_local = self._is_local or local
        elif local and not self._is_local and not self._is_proxy(host):
            raise refused(host)


class GuardedResolver(ThreadedResolver):
    """The system's resolver, whose answers the guard has to approve."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name; OSError."""
        found = await super().resolve(host, port, family)
        self._guard.resolved(host, [each["host"] for each in found])
        return found


def is_local(text: str) -> bool:
    """Tell whether `text` is an address that only this machine or its link answers on."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text == "localhost" or text.endswith(".localhost")
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_link_local or address.is_unspecified


def refused(host: str) -> PermissionError:
    """Return the error for a host that a registry may not send us to."""
    return PermissionError(f"{host} is on this machine, where the registry may not send us")
