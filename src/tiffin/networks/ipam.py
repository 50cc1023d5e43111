"""The IPAM contract: subnets for networks, addresses for endpoints.

An IPAM keeps no books. What is taken is told with each question, from the state file; so there is
nothing to recover and nothing to give back.
"""

from collections.abc import Collection, Container
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Protocol

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Pool:
    """A network's subnet: its gateway, and the part that addresses are chosen from."""

    subnet: Subnet
    gateway: Address | None
    range: Subnet | None = None
    """Automatic addresses come from here only; None: from the whole subnet."""
    reserved: dict[str, Address] = field(default_factory=dict)
    """Addresses that other things on the network have, by name."""


@dataclass(frozen=True, slots=True)
class PoolWish:
    """What is asked for; everything may be left to the IPAM."""

    version: int
    subnet: Subnet | None = None
    range: Subnet | None = None
    gateway: Address | None = None
    gatewayless: bool = False
    """No gateway is chosen; one that is given counts."""
    reserved: dict[str, Address] = field(default_factory=dict)


class Ipam(Protocol):
    """One way to give out addresses."""

    @property
    def name(self) -> str:
        """Driver name, e.g. `default`."""

    def pool(
        self, wish: PoolWish, networks: Collection[Subnet], routed: Collection[Subnet]
    ) -> Pool:
        """Choose or check a subnet.

        `networks` are the subnets of our networks, `routed` those that the host uses otherwise: a
        chosen one touches neither, a given one must not touch the first. PermissionDenied if it
        does, InvalidArgument if parts do not fit, FailedPrecondition if no subnet is free.
        """

    def address(
        self, pool: Pool, taken: Container[Address], wanted: Address | None = None
    ) -> Address:
        """Choose or check an address; PermissionDenied if taken, FailedPrecondition if full."""
