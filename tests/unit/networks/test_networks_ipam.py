"""Subnets and addresses: the defaults, what users ask for, and what is refused."""

from ipaddress import IPv4Address, IPv4Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from tiffin.networks.ipam import Address, Pool, PoolWish, Subnet
from tiffin.networks.ipam_local import AddressPool, LocalIpam, unique_local_pool

IPAM = LocalIpam(seed="test")


def taken(*subnets: str) -> list[Subnet]:
    return [ip_network(subnet) for subnet in subnets]


def test_default_pools_in_order() -> None:
    chosen: list[Subnet] = []
    for _ in range(16):
        chosen.append(IPAM.pool(PoolWish(4), chosen, []).subnet)
    assert [str(subnet) for subnet in chosen] == [
        *(f"172.{i}.0.0/16" for i in range(17, 32)),
        "192.168.0.0/20",
    ]


def test_chosen_subnets_avoid_networks_and_routes() -> None:
    pool = IPAM.pool(PoolWish(4), taken("172.17.0.0/16"), taken("172.18.5.0/24", "172.0.0.0/11"))
    assert str(pool.subnet) == "192.168.0.0/20"
    assert str(pool.gateway) == "192.168.0.1"


def test_given_subnets_mind_only_our_networks() -> None:
    wish = PoolWish(4, ip_network("10.9.0.0/24"))
    assert IPAM.pool(wish, [], taken("10.0.0.0/8")).subnet == ip_network("10.9.0.0/24")
    with pytest.raises(
        PermissionDenied, match="Pool overlaps with other one on this address space"
    ):
        IPAM.pool(wish, taken("10.9.0.128/25"), [])


def test_ipv6_has_a_pool_of_its_own() -> None:
    pool = IPAM.pool(PoolWish(6), [], [])
    assert pool.subnet.prefixlen == 64
    assert pool.subnet.network_address in ip_network("fd00::/8")
    assert unique_local_pool("a") == unique_local_pool("a") != unique_local_pool("b")


def test_exhausted_pools() -> None:
    small = LocalIpam([AddressPool.parse("10.9.0.0/24", 25)])
    first = small.pool(PoolWish(4), [], []).subnet
    second = small.pool(PoolWish(4), [first], []).subnet
    with pytest.raises(FailedPrecondition, match="all predefined address pools have been fully"):
        small.pool(PoolWish(4), [first, second], [])


@pytest.mark.parametrize(("base", "size"), [("10.0.0.0/16", 8), ("10.0.0.0/16", 33), ("x", 24)])
def test_impossible_pools(base: str, size: int) -> None:
    with pytest.raises(InvalidArgument, match="invalid default address pool"):
        AddressPool.parse(base, size)


@pytest.mark.parametrize(
    "wish",
    [
        PoolWish(4, ip_network("10.9.0.0/24"), range=ip_network("10.8.0.0/25")),
        PoolWish(4, ip_network("10.9.0.0/24"), gateway=ip_address("10.8.0.1")),
        PoolWish(4, ip_network("10.9.0.0/24"), reserved={"x": ip_address("10.8.0.1")}),
    ],
)
def test_parts_must_lie_inside(wish: PoolWish) -> None:
    with pytest.raises(InvalidArgument, match=r"parent subnet is 10\.9\.0\.0/24"):
        IPAM.pool(wish, [], [])


def test_requested_addresses() -> None:
    pool = Pool(ip_network("10.9.0.0/24"), ip_address("10.9.0.1"))
    assert IPAM.address(pool, (), ip_address("10.9.0.200")) == ip_address("10.9.0.200")
    for wanted in ("10.9.0.1", "10.9.0.0", "10.9.0.255", "10.9.0.7"):
        with pytest.raises(PermissionDenied, match="Address already in use"):
            IPAM.address(pool, {ip_address("10.9.0.7")}, ip_address(wanted))
    with pytest.raises(
        InvalidArgument, match=r"no configured subnet contains IP address 10\.8\.0\.1"
    ):
        IPAM.address(pool, (), ip_address("10.8.0.1"))


def test_range_and_reserved() -> None:
    pool = IPAM.pool(
        PoolWish(
            4,
            ip_network("10.9.0.0/24"),
            range=ip_network("10.9.0.128/30"),
            reserved={"router": ip_address("10.9.0.130")},
        ),
        [],
        [],
    )
    assert str(pool.gateway) == "10.9.0.128"
    given_out: set[Address] = set()
    for expected in ("10.9.0.129", "10.9.0.131"):
        address = IPAM.address(pool, given_out)
        assert str(address) == expected
        given_out.add(address)
    with pytest.raises(FailedPrecondition, match="no available IPv4 addresses"):
        IPAM.address(pool, given_out)


@given(st.integers(25, 31), st.sets(st.integers(0, 127), max_size=20))
def test_addresses_are_free_and_usable(prefix: int, used: set[int]) -> None:
    subnet = IPv4Network(("10.9.0.0", prefix))
    pool = IPAM.pool(PoolWish(4, subnet), [], [])
    occupied = {subnet.network_address + offset for offset in used}
    try:
        address = IPAM.address(pool, occupied)
    except FailedPrecondition:
        hosts = set(subnet.hosts()) - {pool.gateway}
        assert hosts <= occupied
        return
    assert isinstance(address, IPv4Address)
    assert address in set(subnet.hosts()) - occupied - {pool.gateway}
