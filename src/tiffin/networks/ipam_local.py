"""The IPAM of a single host: subnets from a list of pools, the lowest free address of each."""

import hashlib
from collections.abc import Collection, Container, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from tiffin.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from tiffin.networks.ipam import Address, Pool, PoolWish, Subnet

OVERLAP = "invalid pool request: Pool overlaps with other one on this address space"


@dataclass(frozen=True, slots=True)
class AddressPool:
    """A block of addresses (`base`) that subnets of prefix length `size` are cut from."""

    base: Subnet
    size: int

    def __post_init__(self) -> None:
        if not self.base.prefixlen <= self.size <= self.base.max_prefixlen:
            raise InvalidArgument(
                f"invalid default address pool {self.base}: size {self.size} does not fit"
            )

    @classmethod
    def parse(cls, base: str, size: int) -> "AddressPool":
        """Make a pool of its text; InvalidArgument."""
        try:
            return cls(ip_network(base), size)
        except ValueError as error:
            raise InvalidArgument(f"invalid default address pool {base!r}: {error}") from error

    def subnets(self) -> Iterator[Subnet]:
        """Yield the subnets in order."""
        return self.base.subnets(new_prefix=self.size)


DEFAULT_POOLS: tuple[AddressPool, ...] = (
    AddressPool(ip_network("172.17.0.0/16"), 16),
    AddressPool(ip_network("172.18.0.0/16"), 16),
    AddressPool(ip_network("172.19.0.0/16"), 16),
    AddressPool(ip_network("172.20.0.0/14"), 16),
    AddressPool(ip_network("172.24.0.0/14"), 16),
    AddressPool(ip_network("172.28.0.0/14"), 16),
    AddressPool(ip_network("192.168.0.0/16"), 20),
)


def unique_local_pool(seed: str) -> AddressPool:
    """Return the IPv6 pool of one daemon: a /48 under fd00::/8 that `seed` decides (RFC 4193)."""
    packed = b"\xfd" + hashlib.sha256(seed.encode()).digest()[:5] + bytes(10)
    return AddressPool(IPv6Network((packed, 48)), 64)


class LocalIpam:
    """Gives out subnets of `pools`; a family without any has the default ones."""

    def __init__(self, pools: Sequence[AddressPool] = (), *, seed: str = "") -> None:
        self._pools = list(pools)
        for version in (4, 6):
            if not any(pool.base.version == version for pool in self._pools):
                self._pools += DEFAULT_POOLS if version == 4 else (unique_local_pool(seed),)

    @property
    def name(self) -> str:
        """Return `default`."""
        return "default"

    def pool(
        self, wish: PoolWish, networks: Collection[Subnet], routed: Collection[Subnet]
    ) -> Pool:
        """Choose or check a subnet (see `Ipam.pool`)."""
        if wish.subnet is None:
            subnet = self._free(wish.version, [*networks, *routed])
        else:
            subnet = wish.subnet
            if any(_overlap(subnet, other) for other in networks):
                raise PermissionDenied(OVERLAP)
        _check_inside(wish, subnet)
        gateway = wish.gateway
        if gateway is None and not wish.gatewayless:
            gateway = _first(wish.range or subnet, subnet, {*wish.reserved.values()})
        if gateway is None and not wish.gatewayless:
            raise InvalidArgument(f"no available IPv{wish.version} addresses in subnet {subnet}")
        return Pool(subnet, gateway, wish.range, dict(wish.reserved))

    def address(
        self, pool: Pool, taken: Container[Address], wanted: Address | None = None
    ) -> Address:
        """Choose or check an address (see `Ipam.address`)."""
        reserved = {pool.gateway, *pool.reserved.values()}
        if wanted is not None:
            if wanted not in pool.subnet:
                raise InvalidArgument(f"no configured subnet contains IP address {wanted}")
            if wanted in taken or wanted in reserved or wanted in _unusable(pool.subnet):
                raise PermissionDenied("Address already in use")
            return wanted
        for candidate in _candidates(pool.range or pool.subnet, pool.subnet):
            if candidate not in reserved and candidate not in taken:
                return candidate
        version = pool.subnet.version
        raise FailedPrecondition(
            f"no available IPv{version} addresses on this network's address pools"
        )

    def _free(self, version: int, used: Collection[Subnet]) -> Subnet:
        same = [subnet for subnet in used if subnet.version == version]
        for pool in self._pools:
            if pool.base.version == version:
                near = [subnet for subnet in same if _overlap(subnet, pool.base)]
                for subnet in pool.subnets():
                    if not any(_overlap(subnet, other) for other in near):
                        return subnet
        raise FailedPrecondition(
            "all predefined address pools have been fully subnetted",
            hint="give a subnet or more default-address-pools",
        )


def _check_inside(wish: PoolWish, subnet: Subnet) -> None:
    if wish.range is not None and not (
        wish.range.version == subnet.version and _contains(subnet, wish.range)
    ):
        raise InvalidArgument(f"invalid ip-range {wish.range}: parent subnet is {subnet}")
    if wish.gateway is not None and wish.gateway not in subnet:
        raise InvalidArgument(f"invalid gateway {wish.gateway}: parent subnet is {subnet}")
    for name, address in wish.reserved.items():
        if address not in subnet:
            raise InvalidArgument(
                f"invalid auxiliary address {name} {address}: parent subnet is {subnet}"
            )


def _first(part: Subnet, subnet: Subnet, taken: Container[Address]) -> Address | None:
    return next((a for a in _candidates(part, subnet) if a not in taken), None)


def _candidates(part: Subnet, subnet: Subnet) -> Iterator[Address]:
    unusable = _unusable(subnet)
    first = part.network_address
    for offset in range(part.num_addresses):
        candidate = first + offset
        if candidate not in unusable:
            yield candidate


def _unusable(subnet: Subnet) -> tuple[Address, ...]:
    """Addresses that stand for the network, all hosts or (IPv6) any router."""
    if isinstance(subnet, IPv6Network):
        return (subnet.network_address,) if subnet.prefixlen < 127 else ()
    if subnet.prefixlen >= 31:
        return ()
    return subnet.network_address, subnet.broadcast_address


def _contains(outer: Subnet, inner: Subnet) -> bool:
    if isinstance(outer, IPv4Network):
        return isinstance(inner, IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, IPv6Network) and inner.subnet_of(outer)


def _overlap(one: Subnet, other: Subnet) -> bool:
    return _contains(one, other) or _contains(other, one)
