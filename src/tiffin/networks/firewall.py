"""One nftables table per daemon: what may pass between bridges, and where published ports lead.

The rules never change; what changes is the elements of the sets and maps that they look up:

    table inet <tag> {
        set bridges      our bridges' names
        set talking      "br" . "br" for bridges whose containers may reach each other
        set internal     bridges that lead nowhere else
        set unprotected4/6  bridges that may be reached from outside without a published port
        set routed4/6    bridges whose containers are reached at their own addresses
        set trusted      "interface" . "br": by which a bridge's containers are reached so, too
        set open4/6      protocol . container address . port that is reached so
        map sources4/6   subnet -> address that its connections come from
        set subnets4/6, masquerade4/6
        map ports4/6     protocol . host address . port  ->  address . port
        map any4/6       protocol . port                 ->  address . port
        map ranges4/6    protocol . host addresses . ports  ->  address, the port stays
        chains raw, prerouting, output, ports, forward, postrouting
    }

Nothing of another table is read or changed. If somebody empties all tables, the next change here
finds that out and puts everything back.
"""

import errno
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from tiffin.linux import nfexpr as nf
from tiffin.linux import nftables as nft
from tiffin.linux.netlink import Channel, Request
from tiffin.networks.driver import PortMapping

Address = IPv4Address | IPv6Address
Subnet = IPv4Network | IPv6Network

PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
ICMP = {4: 1, 6: 58}
SINGLE_ELEMENTS = 64
"""Ranges longer than that whose ports keep their numbers become one element."""

PRIORITY_RAW, PRIORITY_DNAT, PRIORITY_FILTER, PRIORITY_SNAT = -300, -100, 0, 100
LOOPBACK4 = bytes((127,))
FROM_LOOPBACK4 = (
    nf.for_family(nf.NFPROTO_IPV4)
    + nf.payload(nf.NFT_PAYLOAD_NETWORK_HEADER, 12, 1)
    + nf.compare(LOOPBACK4)
)


@dataclass(frozen=True, slots=True)
class BridgeRules:
    """What the table has to know of one bridge."""

    bridge: str
    subnets: tuple[Subnet, ...] = ()
    masqueraded: tuple[tuple[Subnet, Address | None], ...] = ()
    """With the address that connections come from, None for that of the way out."""
    internal: bool = False
    talking: bool = True
    unprotected: tuple[int, ...] = ()
    """Address families whose ports are all open."""
    routed: tuple[int, ...] = ()
    """Address families whose published ports are reached without translation."""
    trusted: tuple[str, ...] = ()
    """Interfaces by which the published ports of all families are reached so."""


@dataclass(frozen=True, slots=True)
class Published:
    """A port mapping with the container's address that it leads to (of the same family)."""

    mapping: PortMapping
    """Nothing is translated if the host's port is 0."""
    address: Address
    opened: bool = False
    """May be reached at the container's own address."""


BRIDGES = nft.Set("bridges", (nft.INTERFACE_NAME,))
TALKING = nft.Set("talking", (nft.INTERFACE_NAME, nft.INTERFACE_NAME))
INTERNAL = nft.Set("internal", (nft.INTERFACE_NAME,))
TRUSTED = nft.Set("trusted", (nft.INTERFACE_NAME, nft.INTERFACE_NAME))


@dataclass(frozen=True, slots=True)
class _Family:
    """The sets and maps of one address family."""

    number: int
    everything: Subnet
    subnets: nft.Set
    masquerade: nft.Set
    ports: nft.Set
    any: nft.Set
    ranges: nft.Set
    unprotected: nft.Set
    routed: nft.Set
    open: nft.Set
    sources: nft.Set

    @classmethod
    def of(cls, version: int) -> "_Family":
        address = nft.IPV4_ADDRESS if version == 4 else nft.IPV6_ADDRESS
        key = (nft.PROTOCOL, address, nft.SERVICE)
        target = (address, nft.SERVICE)
        return cls(
            number=nf.NFPROTO_IPV4 if version == 4 else nf.NFPROTO_IPV6,
            everything=IPv4Network("0.0.0.0/0") if version == 4 else IPv6Network("::/0"),
            subnets=nft.Set(f"subnets{version}", (address,), interval=True),
            masquerade=nft.Set(f"masquerade{version}", (address,), interval=True),
            ports=nft.Set(f"ports{version}", key, target),
            any=nft.Set(f"any{version}", (nft.PROTOCOL, nft.SERVICE), target),
            ranges=nft.Set(f"ranges{version}", key, (address,), interval=True),
            unprotected=nft.Set(f"unprotected{version}", (nft.INTERFACE_NAME,)),
            routed=nft.Set(f"routed{version}", (nft.INTERFACE_NAME,)),
            open=nft.Set(f"open{version}", key),
            sources=nft.Set(f"sources{version}", (address,), (address,), interval=True),
        )

    @property
    def sets(self) -> tuple[nft.Set, ...]:
        return (
            self.subnets, self.masquerade, self.ports, self.any, self.ranges,
            self.unprotected, self.routed, self.open, self.sources,
        )  # fmt: skip


FAMILIES = {4: _Family.of(4), 6: _Family.of(6)}

Elements = list[tuple[nft.Set, nft.Element]]


class Firewall:
    """The table of one daemon, with a memory of what must be in it."""

    def __init__(self, table: str, channel: Channel) -> None:
        self._table = table
        self._channel = channel
        self._lock = threading.Lock()
        self._bridges: dict[str, BridgeRules] = {}
        self._published: dict[Published, None] = {}

    def rebuild(self, bridges: Iterable[BridgeRules], published: Iterable[Published]) -> None:
        """Make the table anew with exactly this in it, in one transaction."""
        with self._lock:
            self._bridges = {rules.bridge: rules for rules in bridges}
            self._published = dict.fromkeys(published)
            self._rebuild()

    def remove(self) -> None:
        """Remove the table."""
        with self._lock:
            self._bridges, self._published = {}, {}
            nft.commit(self._channel, self._clearing())

    def add_bridge(self, rules: BridgeRules) -> None:
        """Let the rules cover one more bridge; replaces what was said of it before."""
        with self._lock:
            before = self._bridges.get(rules.bridge)
            if before == rules:
                return
            self._bridges[rules.bridge] = rules
            removed = _bridge_elements(before) if before else []
            self._change(removed, _bridge_elements(rules))

    def remove_bridge(self, bridge: str) -> None:
        """Forget a bridge. Idempotent."""
        with self._lock:
            rules = self._bridges.pop(bridge, None)
            if rules is not None:
                self._change(_bridge_elements(rules), [])

    def publish(self, published: Sequence[Published]) -> None:
        """Let ports lead to containers. Idempotent."""
        with self._lock:
            new = [item for item in published if item not in self._published]
            self._published.update(dict.fromkeys(new))
            try:
                self._change([], _port_elements(new))
            except OSError:
                for item in new:
                    self._published.pop(item, None)
                raise

    def retract(self, published: Iterable[Published]) -> None:
        """Take ports back. Idempotent."""
        with self._lock:
            gone = [item for item in published if item in self._published]
            for item in gone:
                del self._published[item]
            self._change(_port_elements(gone), [])

    def _change(self, removed: Elements, added: Elements) -> None:
        requests = [
            *_grouped(self._table, removed, nft.delete_elements),
            *_grouped(self._table, added, nft.add_elements),
        ]
        try:
            nft.commit(self._channel, requests)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EEXIST):
                raise
            # The table is not what we left: somebody flushed or changed it.
            self._rebuild()

    def _rebuild(self) -> None:
        elements = [e for rules in self._bridges.values() for e in _bridge_elements(rules)]
        elements += _port_elements(self._published)
        requests = [
            *self._clearing(),
            nft.add_table(self._table),
            *_skeleton(self._table),
            *_grouped(self._table, elements, nft.add_elements),
        ]
        nft.commit(self._channel, requests)

    def _clearing(self) -> list[Request]:
        # Added first so that there is something to delete: deleting is an error otherwise.
        return [nft.add_table(self._table), nft.delete_table(self._table)]


def _skeleton(table: str) -> list[Request]:
    sets = [BRIDGES, TALKING, INTERNAL, TRUSTED]
    for family in FAMILIES.values():
        sets += family.sets
    return [
        *(nft.add_set(table, declaration, number) for number, declaration in enumerate(sets, 1)),
        nft.add_base_chain(table, "raw", "filter", nft.Hook.PREROUTING, PRIORITY_RAW),
        nft.add_chain(table, "ports"),
        nft.add_base_chain(table, "prerouting", "nat", nft.Hook.PREROUTING, PRIORITY_DNAT),
        nft.add_base_chain(table, "output", "nat", nft.Hook.OUTPUT, PRIORITY_DNAT),
        nft.add_base_chain(table, "forward", "filter", nft.Hook.FORWARD, PRIORITY_FILTER),
        nft.add_base_chain(table, "postrouting", "nat", nft.Hook.POSTROUTING, PRIORITY_SNAT),
        *_entry_rules(table),
        *_port_rules(table),
        *_forward_rules(table),
        *_postrouting_rules(table),
    ]


def _entry_rules(table: str) -> list[Request]:
    from_bridge = nf.meta(nf.NFT_META_IIFNAME) + nf.lookup("bridges")
    to_loopback4 = nf.for_family(nf.NFPROTO_IPV4) + nf.payload(
        nf.NFT_PAYLOAD_NETWORK_HEADER, 16, 1
    ) + nf.compare(LOOPBACK4)  # fmt: skip
    to_loopback6 = (
        nf.for_family(nf.NFPROTO_IPV6)
        + nf.destination_address(nf.NFPROTO_IPV6)
        + nf.compare(IPv6Address("::1").packed)
    )
    to_ports = nf.to_local_address() + nf.jump("ports")
    return [
        # Bridges have route_localnet, which alone would open the host's loopback to containers.
        nft.add_rule(table, "raw", from_bridge, to_loopback4, nf.drop(),
                     what="containers do not reach the host's loopback"),
        nft.add_rule(table, "raw", from_bridge, FROM_LOOPBACK4, nf.drop(),
                     what="nor pretend to be on it"),
        # The destination is rewritten before the kernel would drop 127.0.0.0/8 from a wire.
        nft.add_rule(table, "prerouting", to_loopback4, nf.verdict_return(),
                     what="a loopback address on a wire is not ours"),
        nft.add_rule(table, "prerouting", to_ports, what="published ports, from outside"),
        # Linux does not route packets from ::1; such connections reach the forwarding socket.
        nft.add_rule(table, "output", to_loopback6, nf.verdict_return(), what="::1 stays"),
        nft.add_rule(table, "output", to_ports, what="published ports, from the host"),
    ]  # fmt: skip


def _port_rules(table: str) -> list[Request]:
    rules: list[Request] = []
    for version, family in FAMILIES.items():
        size = family.everything.max_prefixlen // 32
        start = nf.for_family(family.number) + nf.meta(nf.NFT_META_L4PROTO, 0)
        with_address = (
            start + nf.destination_address(family.number, 1) + nf.destination_port(1 + size)
        )
        rules += [
            nft.add_rule(
                table, "ports", with_address, nf.lookup(family.ports.name, into=0),
                nf.destination_nat(family.number, 0, size), what=f"IPv{version}, one address",
            ),
            nft.add_rule(
                table, "ports", start, nf.destination_port(1), nf.lookup(family.any.name, into=0),
                nf.destination_nat(family.number, 0, size), what=f"IPv{version}, all addresses",
            ),
            nft.add_rule(
                table, "ports", with_address, nf.lookup(family.ranges.name, into=0),
                nf.destination_nat(family.number, 0), what=f"IPv{version}, large ranges",
            ),
        ]  # fmt: skip
    return rules


def _forward_rules(table: str) -> list[Request]:
    source, target = nf.meta(nf.NFT_META_IIFNAME), nf.meta(nf.NFT_META_OIFNAME)
    both = nf.meta(nf.NFT_META_IIFNAME, 0) + nf.meta(nf.NFT_META_OIFNAME, 4)

    def rule(*expressions: nf.Expression, what: str) -> Request:
        return nft.add_rule(table, "forward", *expressions, what=what)

    return [
        rule(nf.has_state(nf.CT_ESTABLISHED | nf.CT_RELATED), nf.accept(), what="replies"),
        rule(both, nf.lookup("talking"), nf.accept(), what="within a network"),
        rule(source, nf.lookup("internal"), nf.drop(), what="internal networks lead nowhere"),
        rule(target, nf.lookup("internal"), nf.drop(), what="nothing leads into internal networks"),
        rule(target, nf.lookup("bridges"), nf.has_status(nf.IPS_DST_NAT), nf.accept(),
             what="published ports"),
        *_routing_rules(table),
        rule(target, nf.lookup("bridges"), nf.drop(), what="networks are apart"),
    ]  # fmt: skip


def _routing_rules(table: str) -> list[Request]:
    """Return the rules that let containers be reached at their own addresses."""
    source, target = nf.meta(nf.NFT_META_IIFNAME), nf.meta(nf.NFT_META_OIFNAME)
    both = nf.meta(nf.NFT_META_IIFNAME, 0) + nf.meta(nf.NFT_META_OIFNAME, 4)
    rules: list[Request] = []
    for version, family in FAMILIES.items():
        ours = nf.for_family(family.number)
        outside = source + nf.lookup("bridges", absent=True)
        open_port = (
            nf.meta(nf.NFT_META_L4PROTO, 0)
            + nf.destination_address(family.number, 1)
            + nf.destination_port(1 + family.everything.max_prefixlen // 32)
            + nf.lookup(family.open.name)
        )
        message = nf.meta(nf.NFT_META_L4PROTO) + nf.compare(bytes((ICMP[version],)))
        routed = target + nf.lookup(family.routed.name)
        trusted = both + nf.lookup(TRUSTED.name)
        unprotected = target + nf.lookup(family.unprotected.name)
        rules += [
            nft.add_rule(table, "forward", ours, unprotected, outside, nf.accept(),
                         what=f"networks whose ports are all open, IPv{version}"),
            nft.add_rule(table, "forward", ours, routed, message, nf.accept(),
                         what=f"pings of routed networks, IPv{version}"),
            nft.add_rule(table, "forward", ours, routed, open_port, nf.accept(),
                         what=f"published ports of routed networks, IPv{version}"),
            nft.add_rule(table, "forward", ours, trusted, open_port, nf.accept(),
                         what=f"published ports by trusted interfaces, IPv{version}"),
        ]  # fmt: skip
    return rules


def _postrouting_rules(table: str) -> list[Request]:
    into = nf.meta(nf.NFT_META_OIFNAME) + nf.lookup("bridges")
    outside = nf.meta(nf.NFT_META_OIFNAME) + nf.lookup("bridges", absent=True)

    def rule(*expressions: nf.Expression, what: str) -> Request:
        return nft.add_rule(table, "postrouting", *expressions, nf.masquerade(), what=what)

    rules = [rule(into, FROM_LOOPBACK4, what="published ports from 127.0.0.1")]
    for version, family in FAMILIES.items():
        source = nf.for_family(family.number) + nf.source_address(family.number)
        rules += [
            rule(into, nf.has_status(nf.IPS_DST_NAT), source, nf.lookup(family.subnets.name),
                 what=f"containers' published ports from containers, IPv{version}"),
            nft.add_rule(
                table, "postrouting", outside, source, nf.lookup(family.sources.name, into=0),
                nf.source_nat(family.number, 0), what=f"from chosen addresses, IPv{version}",
            ),
            rule(outside, source, nf.lookup(family.masquerade.name),
                 what=f"containers to the outside, IPv{version}"),
        ]  # fmt: skip
    return rules


def _bridge_elements(rules: BridgeRules) -> Elements:
    name = nft.interface(rules.bridge)
    elements: Elements = [(BRIDGES, nft.Element(name))]
    if rules.talking:
        elements.append((TALKING, nft.Element(name + name)))
    if rules.internal:
        elements.append((INTERNAL, nft.Element(name)))
    elements += [
        (FAMILIES[version].unprotected, nft.Element(name)) for version in rules.unprotected
    ]
    elements += [(FAMILIES[version].routed, nft.Element(name)) for version in rules.routed]
    elements += [(TRUSTED, nft.Element(nft.interface(way) + name)) for way in rules.trusted]
    elements += [(FAMILIES[s.version].subnets, _interval(s)) for s in rules.subnets]
    for subnet, source in rules.masqueraded:
        family = FAMILIES[subnet.version]
        if source is None:
            elements.append((family.masquerade, _interval(subnet)))
        else:
            elements.append((family.sources, replace(_interval(subnet), data=source.packed)))
    return elements


def _interval(subnet: Subnet) -> nft.Element:
    last = subnet.broadcast_address
    is_top = int(last) == 2**subnet.max_prefixlen - 1
    return nft.Element(subnet.network_address.packed, b"" if is_top else (last + 1).packed)


def _port_elements(published: Iterable[Published]) -> Elements:
    elements: Elements = []
    for item in published:
        mapping = item.mapping
        if item.opened:
            elements += [_open_element(item, offset) for offset in range(mapping.count)]
        if not mapping.host_port:
            continue
        if mapping.count > SINGLE_ELEMENTS and mapping.host_port == mapping.container_port:
            elements.append(_range_element(item))
        else:
            elements += [_single_element(item, offset) for offset in range(mapping.count)]
    return elements


def _single_element(item: Published, offset: int) -> tuple[nft.Set, nft.Element]:
    family = FAMILIES[item.address.version]
    mapping = item.mapping
    protocol = nft.field(bytes((PROTOCOL_NUMBERS[mapping.protocol],)))
    port = _port(mapping.host_port + offset)
    data = item.address.packed + _port(mapping.container_port + offset)
    host = ip_address(mapping.host_ip)
    if host.is_unspecified:
        return family.any, nft.Element(protocol + port, data=data)
    return family.ports, nft.Element(protocol + host.packed + port, data=data)


def _open_element(item: Published, offset: int) -> tuple[nft.Set, nft.Element]:
    protocol = nft.field(bytes((PROTOCOL_NUMBERS[item.mapping.protocol],)))
    key = protocol + item.address.packed + _port(item.mapping.container_port + offset)
    return FAMILIES[item.address.version].open, nft.Element(key)


def _range_element(item: Published) -> tuple[nft.Set, nft.Element]:
    family = FAMILIES[item.address.version]
    mapping = item.mapping
    protocol = nft.field(bytes((PROTOCOL_NUMBERS[mapping.protocol],)))
    host = ip_address(mapping.host_ip)
    first, last = host, host
    if host.is_unspecified:
        first, last = family.everything.network_address, family.everything.broadcast_address
    return family.ranges, nft.Element(
        protocol + first.packed + _port(mapping.host_port),
        protocol + last.packed + _port(mapping.host_port + mapping.count - 1),
        item.address.packed,
    )


def _port(number: int) -> bytes:
    return nft.field(number.to_bytes(2, "big"))


def _grouped(
    table: str,
    elements: Elements,
    verb: Callable[[str, nft.Set, Iterable[nft.Element]], list[Request]],
) -> list[Request]:
    by_set: dict[nft.Set, list[nft.Element]] = {}
    for declaration, element in elements:
        by_set.setdefault(declaration, []).append(element)
    return [
        request
        for declaration, members in by_set.items()
        for request in verb(table, declaration, members)
    ]
