"""Links, addresses, routes and neighbours (rtnetlink(7)) as requests for a netlink `Channel`.

The functions that begin with a verb return a `Request`; those that begin with `dump_` or `find_`
ask the kernel. Interfaces are named by name or by index, whichever the caller has.
"""

import errno
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_network,
)

from tiffin.linux.netlink import NETLINK_ROUTE, Channel, Request, open_socket
from tiffin.wire import netlink as nl

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH = 28

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER = 1, 3, 4, 5, 10
IFLA_IFALIAS = 20
IFLA_LINKINFO, IFLA_AF_SPEC, IFLA_NET_NS_FD = 18, 26, 28
IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE = 8, 1
IFLA_BR_NF_CALL_IPTABLES, IFLA_BR_NF_CALL_IP6TABLES = 36, 37
IFLA_BRPORT_STATE, IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 1, 4, 33
BR_STATE_DISABLED = 0
IFLA_MACVLAN_MODE = 1
IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS = 1, 2
IFLA_VLAN_ID = 1
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS = 1, 2, 4, 8
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_TABLE = 1, 4, 5, 15
NDA_DST, NDA_LLADDR, NUD_PERMANENT = 1, 2, 0x80

IFF_UP = 1
LOOPBACK_INDEX = 1
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253

IFINFO = struct.Struct("=BxHiII")
"""ifinfomsg: family, type, index, flags, change."""
IFADDR = struct.Struct("=BBBBI")
"""ifaddrmsg: family, prefix length, flags, scope, index."""
ROUTE = struct.Struct("=BBBBBBBBI")
"""rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type, flags."""
NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""ndmsg: family, index, state, flags, type."""

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
IpNetwork = IPv4Network | IPv6Network
Which = str | int


class MacvlanMode(IntEnum):
    """Which interfaces of one parent may reach each other."""

    PRIVATE = 1
    VEPA = 2
    BRIDGE = 4
    PASSTHRU = 8


class IpvlanMode(IntEnum):
    """On which layer an ipvlan and its parent talk; `L3S` passes connection tracking."""

    L2 = 0
    L3 = 1
    L3S = 2


class IpvlanFlag(IntEnum):
    """Which ipvlans of one parent may reach each other."""

    BRIDGE = 0
    PRIVATE = 1
    VEPA = 2


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as the kernel shows it; `kind` is "" for a physical one."""

    index: int
    name: str
    kind: str
    up: bool
    mtu: int
    mac: str
    master: int
    parent: int
    alias: str
    """A free note, which survives renaming."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table; `gateway` is None on a connected network."""

    destination: IpNetwork
    gateway: Address | None
    index: int


def open_channel() -> Channel:
    """Open an rtnetlink channel in the calling thread's network namespace."""
    return Channel(open_socket(NETLINK_ROUTE))


def add_bridge(name: str, *, mac: str = "", mtu: int = 0) -> Request:
    """Make a bridge that is up; it gets no IPv6 address by itself."""
    payload = _link_header(name, up=True) + _link_attributes(mac=mac, mtu=mtu) + _kind("bridge")
    return _create(payload, f"add bridge {name}")


def add_veth(name: str, peer: str, *, netns: int, peer_mac: str = "", mtu: int = 0) -> Request:
    """Make a pair of interfaces, both down, the peer in the namespace of descriptor `netns`."""
    far = (
        _link_header(peer) + _link_attributes(mac=peer_mac, mtu=mtu) + nl.u32(IFLA_NET_NS_FD, netns)
    )
    payload = (
        _link_header(name)
        + _link_attributes(mtu=mtu)
        + _kind("veth", nl.attribute(VETH_INFO_PEER, far))
    )
    return _create(payload, f"add veth {name} with peer {peer} in the container")


def add_macvlan(
    name: str, *, parent: int, netns: int, mode: MacvlanMode, mac: str = "", mtu: int = 0
) -> Request:
    """Make a macvlan on top of `parent` in the namespace of descriptor `netns`; it is down."""
    payload = (
        _link_header(name)
        + _link_attributes(mac=mac, mtu=mtu)
        + nl.u32(IFLA_LINK, parent)
        + nl.u32(IFLA_NET_NS_FD, netns)
        + _kind("macvlan", nl.u32(IFLA_MACVLAN_MODE, mode))
    )
    return _create(payload, f"add macvlan {name} in the container")


def add_ipvlan(
    name: str, *, parent: int, netns: int, mode: IpvlanMode, flag: IpvlanFlag, mtu: int = 0
) -> Request:
    """Make an ipvlan on top of `parent` in the namespace of descriptor `netns`; it is down."""
    data = nl.u16(IFLA_IPVLAN_MODE, mode) + nl.u16(IFLA_IPVLAN_FLAGS, flag)
    payload = (
        _link_header(name)
        + _link_attributes(mtu=mtu)
        + nl.u32(IFLA_LINK, parent)
        + nl.u32(IFLA_NET_NS_FD, netns)
        + _kind("ipvlan", data)
    )
    return _create(payload, f"add ipvlan {name} in the container")


def add_vlan(name: str, *, parent: int, number: int) -> Request:
    """Make the VLAN `number` of `parent`; it is down."""
    payload = (
        _link_header(name) + nl.u32(IFLA_LINK, parent) + _kind("vlan", nl.u16(IFLA_VLAN_ID, number))
    )
    return _create(payload, f"add vlan {name}")


def add_dummy(name: str) -> Request:
    """Make an interface that leads nowhere; it is down."""
    return _create(_link_header(name) + _kind("dummy"), f"add dummy {name}")


def set_link(
    link: Which,
    *,
    up: bool | None = None,
    name: str = "",
    mac: str = "",
    mtu: int = 0,
    master: int | None = None,
    no_link_local: bool = False,
    alias: str = "",
) -> Request:
    """Change an interface. `master` 0 takes it out; `no_link_local`: no fe80:: address."""
    attributes = _link_attributes(mac=mac, mtu=mtu)
    if name:
        attributes += nl.text(IFLA_IFNAME, name)
    if alias:
        attributes += nl.text(IFLA_IFALIAS, alias)
    if master is not None:
        attributes += nl.u32(IFLA_MASTER, master)
    if no_link_local:
        mode = nl.u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE)
        attributes += nl.nested(IFLA_AF_SPEC, nl.nested(socket.AF_INET6, mode))
    changes = " ".join(
        word
        for word in (
            "" if up is None else ("up" if up else "down"),
            name and f"name {name}",
            mac and f"address {mac}",
            f"mtu {mtu}" if mtu else "",
            "" if master is None else f"master {master}",
        )
        if word
    )
    payload = _link_header(link, up=up) + attributes
    return Request(RTM_NEWLINK, 0, payload, f"set link {link} {changes}".rstrip())


def set_bridge_port(link: Which, *, hairpin: bool, isolated: bool) -> Request:
    """Set how a bridge treats a port of its.

    `hairpin`: packets may leave by the port that they came from; `isolated`: the port reaches only
    ports that are not isolated, such as the bridge itself.
    """
    data = nl.u8(IFLA_BRPORT_MODE, hairpin) + nl.u8(IFLA_BRPORT_ISOLATED, isolated)
    info = nl.nested(
        IFLA_LINKINFO,
        nl.text(IFLA_INFO_SLAVE_KIND, "bridge"),
        nl.nested(IFLA_INFO_SLAVE_DATA, data),
    )
    words = [word for word, on in (("hairpin", hairpin), ("isolated", isolated)) if on]
    what = f"set bridge port {link} {' '.join(words) or 'plain'}"
    return Request(RTM_NEWLINK, 0, _link_header(link) + info, what)


def disable_bridge_port(link: Which) -> Request:
    """Let a port take part in nothing any more; unlike all other ways this waits for nothing."""
    info = nl.nested(
        IFLA_LINKINFO,
        nl.text(IFLA_INFO_SLAVE_KIND, "bridge"),
        nl.nested(IFLA_INFO_SLAVE_DATA, nl.u8(IFLA_BRPORT_STATE, BR_STATE_DISABLED)),
    )
    return Request(RTM_NEWLINK, 0, _link_header(link) + info, f"disable bridge port {link}")


def filter_bridged_packets(bridge: Which) -> Request:
    """Let nftables see the packets between a bridge's ports (needs br_netfilter)."""
    data = nl.u8(IFLA_BR_NF_CALL_IPTABLES, 1) + nl.u8(IFLA_BR_NF_CALL_IP6TABLES, 1)
    payload = _link_header(bridge) + _kind("bridge", data)
    return Request(RTM_NEWLINK, 0, payload, f"filter packets within bridge {bridge}")


def delete_link(link: Which) -> Request:
    """Remove an interface and, of a veth, its peer."""
    return Request(RTM_DELLINK, 0, _link_header(link), f"delete link {link}")


def add_address(index: int, address: Interface) -> Request:
    """Give an interface an address, usable at once (no duplicate detection)."""
    return Request(
        RTM_NEWADDR,
        nl.NLM_F_CREATE | nl.NLM_F_REPLACE,
        _address(index, address) + nl.u32(IFA_FLAGS, IFA_F_NODAD if address.version == 6 else 0),
        f"add address {address} to link {index}",
    )


def delete_address(index: int, address: Interface) -> Request:
    """Take an address away."""
    what = f"delete address {address} from link {index}"
    return Request(RTM_DELADDR, 0, _address(index, address), what)


def add_route(destination: IpNetwork, *, gateway: Address | None = None, index: int = 0) -> Request:
    """Add or replace a route in the main table, through a gateway, an interface or both."""
    return Request(
        RTM_NEWROUTE,
        nl.NLM_F_CREATE | nl.NLM_F_REPLACE,
        _route(destination, gateway, index),
        f"add route {destination}" + (f" via {gateway}" if gateway else f" dev {index}"),
    )


def delete_route(
    destination: IpNetwork, *, gateway: Address | None = None, index: int = 0
) -> Request:
    """Remove a route."""
    what = f"delete route {destination}"
    return Request(RTM_DELROUTE, 0, _route(destination, gateway, index), what)


def default_route(gateway: Address, *, index: int = 0) -> Request:
    """Route everything of the gateway's family through it.

    The unspecified address stands for no gateway: the interface itself leads everywhere.
    """
    everything = ip_network("0.0.0.0/0" if gateway.version == 4 else "::/0")
    through = None if gateway.is_unspecified else gateway
    return add_route(everything, gateway=through, index=index)


def add_neighbour(index: int, address: Address, mac: str) -> Request:
    """Add a permanent entry to the ARP or neighbour table."""
    payload = (
        NEIGHBOUR.pack(_family(address), index, NUD_PERMANENT, 0, 0)
        + nl.attribute(NDA_DST, address.packed)
        + nl.attribute(NDA_LLADDR, _mac_bytes(mac))
    )
    flags = nl.NLM_F_CREATE | nl.NLM_F_REPLACE
    return Request(RTM_NEWNEIGH, flags, payload, f"add neighbour {address} at {mac}")


def find_link(channel: Channel, name: str) -> Link | None:
    """Return an interface by name, or None."""
    try:
        reply = channel.get(RTM_GETLINK, _link_header(name), f"find link {name}")
    except OSError as error:
        if error.errno == errno.ENODEV:
            return None
        raise
    return _parse_link(reply.payload)


def dump_links(channel: Channel) -> list[Link]:
    """Return all interfaces of the namespace."""
    header = IFINFO.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return [_parse_link(m.payload) for m in channel.dump(RTM_GETLINK, header)]


def dump_addresses(channel: Channel) -> list[tuple[int, Interface]]:
    """Return all addresses with the index of their interface."""
    found: list[tuple[int, Interface]] = []
    for reply in channel.dump(RTM_GETADDR, IFADDR.pack(socket.AF_UNSPEC, 0, 0, 0, 0)):
        family, prefix_length, _flags, _scope, index = IFADDR.unpack_from(reply.payload)
        attributes = nl.attributes(reply.payload[IFADDR.size :])
        packed = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
        if packed is None:
            continue
        kind = IPv4Interface if family == socket.AF_INET else IPv6Interface
        found.append((index, kind((packed, prefix_length))))
    return found


def dump_routes(channel: Channel) -> list[Route]:
    """Return the unicast routes of the main table, both families."""
    found: list[Route] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        header = ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for reply in channel.dump(RTM_GETROUTE, header):
            route = _parse_route(reply.payload)
            if route is not None:
                found.append(route)
    return found


def _parse_link(payload: bytes) -> Link:
    _family, _type, index, flags, _change = IFINFO.unpack_from(payload)
    attributes = nl.attributes(payload[IFINFO.size :])
    info = nl.attributes(attributes.get(IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=nl.string(attributes.get(IFLA_IFNAME, b"")),
        kind=nl.string(info.get(IFLA_INFO_KIND, b"")),
        up=bool(flags & IFF_UP),
        mtu=nl.integer(attributes.get(IFLA_MTU, b"")),
        mac=attributes.get(IFLA_ADDRESS, b"").hex(":"),
        master=nl.integer(attributes.get(IFLA_MASTER, b"")),
        parent=nl.integer(attributes.get(IFLA_LINK, b"")),
        alias=nl.string(attributes.get(IFLA_IFALIAS, b"")),
    )


def _parse_route(payload: bytes) -> Route | None:
    family, length, _src, _tos, table, _protocol, _scope, kind, _flags = ROUTE.unpack_from(payload)
    attributes = nl.attributes(payload[ROUTE.size :])
    table = nl.integer(attributes[RTA_TABLE]) if RTA_TABLE in attributes else table
    if table != RT_TABLE_MAIN or kind != RTN_UNICAST:
        return None
    empty = bytes(4 if family == socket.AF_INET else 16)
    gateway = attributes.get(RTA_GATEWAY)
    return Route(
        destination=ip_network((attributes.get(RTA_DST, empty), length)),
        gateway=ip_address(gateway) if gateway else None,
        index=nl.integer(attributes.get(RTA_OIF, b"")),
    )


def _create(payload: bytes, what: str) -> Request:
    return Request(RTM_NEWLINK, nl.NLM_F_CREATE | nl.NLM_F_EXCL, payload, what)


def _link_header(link: Which, *, up: bool | None = None) -> bytes:
    index, name = (link, "") if isinstance(link, int) else (0, link)
    flags = IFF_UP if up else 0
    change = 0 if up is None else IFF_UP
    header = IFINFO.pack(socket.AF_UNSPEC, 0, index, flags, change)
    return header + nl.text(IFLA_IFNAME, name) if name else header


def _link_attributes(*, mac: str = "", mtu: int = 0) -> bytes:
    parts: Iterable[bytes] = (
        nl.attribute(IFLA_ADDRESS, _mac_bytes(mac)) if mac else b"",
        nl.u32(IFLA_MTU, mtu) if mtu else b"",
    )
    return b"".join(parts)


def _kind(kind: str, data: bytes = b"") -> bytes:
    members = (
        nl.attribute(IFLA_INFO_KIND, kind.encode()),
        data and nl.nested(IFLA_INFO_DATA, data),
    )
    return nl.nested(IFLA_LINKINFO, *members)


def _address(index: int, address: Interface) -> bytes:
    payload = IFADDR.pack(_family(address), address.network.prefixlen, 0, RT_SCOPE_UNIVERSE, index)
    payload += nl.attribute(IFA_LOCAL, address.ip.packed)
    payload += nl.attribute(IFA_ADDRESS, address.ip.packed)
    if isinstance(address, IPv4Interface) and address.network.prefixlen < 31:
        payload += nl.attribute(IFA_BROADCAST, address.network.broadcast_address.packed)
    return payload


def _route(destination: IpNetwork, gateway: Address | None, index: int) -> bytes:
    scope = RT_SCOPE_UNIVERSE if gateway or destination.version == 6 else RT_SCOPE_LINK
    family = _family(destination.network_address)
    payload = ROUTE.pack(
        family, destination.prefixlen, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0
    )
    if destination.prefixlen:
        payload += nl.attribute(RTA_DST, destination.network_address.packed)
    if gateway:
        payload += nl.attribute(RTA_GATEWAY, gateway.packed)
    if index:
        payload += nl.u32(RTA_OIF, index)
    return payload


def _family(address: Address | Interface) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
