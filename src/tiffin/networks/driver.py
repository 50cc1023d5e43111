"""The network driver contract: networks, endpoints, and the sandbox that they are plugged into.

A driver works with two sockets: its own netlink socket in the host's network namespace and the ones
of the `Sandbox`, which the shim created *inside* the container's namespace and handed over. So
nothing here ever enters a namespace.
"""

import socket
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from typing import Protocol

from tiffin.spec.ids import EndpointId, NetworkId


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A container's network namespace, as seen from outside.

    `netns` is a descriptor of the namespace; both sockets were created in it. The DNS ports are
    those of the shim's resolver sockets, bound to 127.0.0.11 in it; 0 when there are none.
    """

    netns: int
    rtnetlink: socket.socket
    nfnetlink: socket.socket
    dns_udp_port: int = 0
    dns_tcp_port: int = 0


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """What a driver needs to know of a network."""

    id: NetworkId
    name: str
    driver: str
    internal: bool = False
    ipv4: bool = True
    ipv6: bool = False
    gateways: tuple[IPv4Interface | IPv6Interface, ...] = ()
    """The bridge's own addresses, with the subnet's prefix length."""
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PortMapping:
    """One published port range: `host_ip:host_port…` to `container_port…` (`count` ports each)."""

    protocol: str
    container_port: int
    host_ip: str
    host_port: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """One attachment of a container to a network, with everything allocated."""

    id: EndpointId
    network: NetworkId
    interface_name: str
    """Name inside the container, e.g. `eth0`."""
    mac_address: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...] = ()
    link_local: tuple[IPv4Interface | IPv6Interface, ...] = ()
    """Further addresses, which nothing is published to."""
    gateway4: str = ""
    """Default gateway to set, or "" when another endpoint provides it."""
    gateway6: str = ""
    ports: tuple[PortMapping, ...] = ()
    options: dict[str, str] = field(default_factory=dict)


class NetworkDriver(Protocol):
    """One technology of connecting containers. Every call is idempotent."""

    @property
    def name(self) -> str:
        """Driver name, e.g. `bridge`."""

    def create(self, network: NetworkSpec) -> None:
        """Make the network exist in the kernel; InvalidArgument for unknown options."""

    def delete(self, network: NetworkSpec) -> None:
        """Take the network out of the kernel."""

    def attach(self, network: NetworkSpec, endpoint: EndpointSpec, sandbox: Sandbox) -> None:
        """Plug the endpoint into the sandbox and publish its ports; undone if it fails."""

    def detach(
        self, network: NetworkSpec, endpoint: EndpointSpec, *, sandbox_ends: bool = False
    ) -> None:
        """Unplug; succeeds if the sandbox is gone already.

        `sandbox_ends`: the interface goes with its namespace anyway, so that it only has to be cut
        off; `sweep` removes what is left after all.
        """

    def sweep(self) -> bool:
        """Remove interfaces that were cut off a while ago; tell if there are younger ones."""
