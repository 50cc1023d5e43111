"""The bridge driver: a Linux bridge per network, a veth pair per endpoint, NAT by `Firewall`.

Kernel objects carry the daemon's tag: the default bridge is `<tag>0`, other bridges are
`<tag>-<network>`, a veth's host end is `<tag><endpoint>`; bridges we made also say so in their
alias, because users may name them.
"""

import errno
import secrets
import time
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, ip_address
from pathlib import Path

from tiffin.errors import InvalidArgument, PermissionDenied
from tiffin.linux import rtnetlink as rt
from tiffin.linux.netlink import Channel, Request
from tiffin.networks.bridge_options import (
    NAME_LENGTH,
    OPTION_DEFAULT,
    OPTION_ICC,
    OPTION_NAME,
    OPTION_TRUSTED,
    BridgeOptions,
    GatewayMode,
    boolean,
    gateway_mode,
    mtu_option,
)
from tiffin.networks.driver import EndpointSpec, NetworkSpec, PortMapping, Sandbox
from tiffin.networks.firewall import BridgeRules, Firewall, Published
from tiffin.networks.interface_sysctls import write_interface_sysctls
from tiffin.spec.ids import EndpointId, NetworkId

LINGER_S = 2.0
"""After that long a namespace that still has its interface is one that somebody else keeps."""
DEFAULT_MTU = 1500
IPV6_MIN_MTU = 1280
SYSCTL = Path("/proc/sys/net")


class BridgeDriver:
    """Bridges of one daemon. `channel` is an rtnetlink channel of the host's namespace."""

    def __init__(
        self, tag: str, channel: Channel, firewall: Firewall, *, forward: bool = True
    ) -> None:
        self._tag = tag
        self._channel = channel
        self._firewall = firewall
        self._forward = forward
        self._cut_off: deque[tuple[float, str]] = deque()

    @property
    def name(self) -> str:
        """Return `bridge`."""
        return "bridge"

    def bridge_name(self, network: NetworkSpec) -> str:
        """Return the name of a network's bridge."""
        named = network.options.get(OPTION_NAME, "")
        if named:
            return named
        if network.options.get(OPTION_DEFAULT) == "true":
            return f"{self._tag}0"
        return f"{self._tag}-{network.id}"[:NAME_LENGTH]

    def veth_name(self, endpoint: EndpointId) -> str:
        """Return the name of the host's end of an endpoint."""
        return f"{self._tag}{endpoint}"[:NAME_LENGTH]

    def check(self, network: NetworkSpec) -> None:
        """Raise InvalidArgument for options that make no sense, PermissionDenied for two subnets."""
        options = BridgeOptions.read(network.options)
        if GatewayMode.ISOLATED in options.modes.values() and not network.internal:
            raise InvalidArgument(
                "gateway mode 'isolated' can only be used for an internal network"
            )
        if len({gateway.version for gateway in network.gateways}) < len(network.gateways):
            raise PermissionDenied("bridge driver doesn't support multiple subnets")

    def create(self, network: NetworkSpec) -> None:
        """Make the bridge, its addresses and its rules, or complete what is there of them."""
        self.check(network)
        options = BridgeOptions.read(network.options)
        name = self.bridge_name(network)
        with ExitStack() as undo:
            link = rt.find_link(self._channel, name)
            if link is None:
                undo.callback(self._remove_bridge, network)
                link = self._add_bridge(network, name)
            elif link.kind != "bridge":
                raise InvalidArgument(f"interface {name} exists and is not a bridge")
            shy = self._is_shy(network) and filters_bridged_packets()
            self._channel.execute(
                [
                    rt.set_link(link.index, up=True),
                    *([rt.filter_bridged_packets(link.index)] if shy else []),
                    *(
                        rt.add_address(link.index, address)
                        for address in network.gateways
                        if not options.is_bare(address.version)
                    ),
                ]
            )
            self._tune(network, name)
            self._firewall.add_bridge(self.rules(network))
            undo.pop_all()

    def rules(self, network: NetworkSpec) -> BridgeRules:
        """Return what the firewall has to know of a network."""
        options = BridgeOptions.read(network.options)
        subnets = tuple(gateway.network for gateway in network.gateways)
        modes = options.modes
        masquerade = options.masquerade and not network.internal
        return BridgeRules(
            bridge=self.bridge_name(network),
            subnets=subnets,
            masqueraded=tuple(
                (subnet, options.sources.get(subnet.version))
                for subnet in subnets
                if masquerade and modes[subnet.version] is not GatewayMode.ROUTED
            ),
            internal=network.internal,
            talking=options.talking,
            unprotected=_families(modes, GatewayMode.NAT_UNPROTECTED),
            routed=_families(modes, GatewayMode.ROUTED),
            trusted=options.trusted,
        )

    def delete(self, network: NetworkSpec) -> None:
        """Remove rules and bridge; a bridge that was there before us stays."""
        self._firewall.remove_bridge(self.bridge_name(network))
        self._remove_bridge(network)

    def attach(self, network: NetworkSpec, endpoint: EndpointSpec, sandbox: Sandbox) -> None:
        """Make the veth pair, configure its inner end, publish the ports; undone if it fails."""
        bridge = rt.find_link(self._channel, self.bridge_name(network))
        if bridge is None:
            # Somebody deleted it by hand; the network is still wanted.
            self.create(network)
            bridge = rt.find_link(self._channel, self.bridge_name(network))
            assert bridge is not None
        veth = self.veth_name(endpoint.id)
        inside = Channel(sandbox.rtnetlink)
        with ExitStack() as undo:
            undo.callback(self.detach, network, endpoint)
            self._channel.execute(
                [
                    rt.add_veth(
                        veth,
                        endpoint.interface_name,
                        netns=sandbox.netns,
                        peer_mac=endpoint.mac_address,
                        mtu=bridge.mtu,
                    ),
                    rt.set_link(
                        veth, up=True, master=bridge.index, no_link_local=speaks_ipv6(bridge.mtu)
                    ),
                    *self._port_settings(network, endpoint),
                ]
            )
            write_interface_sysctls(sandbox.netns, endpoint.interface_name, endpoint.options)
            configure(inside, endpoint)
            self._firewall.publish(published(network, endpoint))
            undo.pop_all()

    def detach(
        self,
        network: NetworkSpec,
        endpoint: EndpointSpec,
        *,
        sandbox_ends: bool = False,
    ) -> None:
        """Take ports and veth away."""
        self._firewall.retract(published(network, endpoint))
        veth = self.veth_name(endpoint.id)
        if sandbox_ends:
            # Deleting a link waits for all processors (15 ms and more), with everybody else's
            # changes waiting behind; the kernel does it for many at once when namespaces end.
            self._cut_off.append((time.monotonic(), veth))
            ignore_missing(self._channel, rt.disable_bridge_port(veth))
        else:
            ignore_missing(self._channel, rt.delete_link(veth))

    def sweep(self) -> bool:
        """Remove the veths that were cut off and whose namespaces somebody keeps."""
        due = time.monotonic() - LINGER_S
        while self._cut_off and self._cut_off[0][0] <= due:
            _, veth = self._cut_off.popleft()
            ignore_missing(self._channel, rt.delete_link(veth))
        return bool(self._cut_off)

    def is_attached(self, endpoint: EndpointId) -> bool:
        """Tell whether an endpoint's veth is there, which it is as long as its namespace is."""
        return rt.find_link(self._channel, self.veth_name(endpoint)) is not None

    def remove_orphans(
        self, networks: Collection[NetworkId], endpoints: Collection[EndpointId]
    ) -> list[str]:
        """Remove bridges and veths of ours that are none of these; return their names."""
        veths = {self.veth_name(endpoint) for endpoint in endpoints}
        aliases = {self._alias(network) for network in networks}
        removed = [
            link.name
            for link in rt.dump_links(self._channel)
            if (link.kind == "veth" and self._is_our_veth(link.name) and link.name not in veths)
            or (
                link.kind == "bridge"
                and link.alias.startswith(f"{self._tag}:")
                and link.alias not in aliases
            )
        ]
        for name in removed:
            ignore_missing(self._channel, rt.delete_link(name))
        return removed

    def _is_our_veth(self, name: str) -> bool:
        rest = name.removeprefix(self._tag)
        return (
            rest != name
            and len(name) == NAME_LENGTH
            and all(digit in "0123456789abcdef" for digit in rest)
        )

    def _alias(self, network: NetworkId) -> str:
        return f"{self._tag}:{network}"

    def _add_bridge(self, network: NetworkSpec, name: str) -> rt.Link:
        # One batch is one system call: a bridge without its alias never outlives us. The MTU is set
        # apart because a bridge that is made with one forgets it when its last port leaves.
        mtu = self._mtu(network)
        bare = gateway_mode(network.options, 6) is GatewayMode.ISOLATED
        silent = (bare or not network.ipv6) and speaks_ipv6(mtu)
        self._channel.execute(
            [
                rt.add_bridge(name, mac=bridge_mac(network)),
                rt.set_link(name, mtu=mtu, alias=self._alias(network.id), no_link_local=silent),
            ]
        )
        link = rt.find_link(self._channel, name)
        if link is None:
            raise OSError(errno.ENODEV, "the new bridge is gone", name)
        return link

    def _remove_bridge(self, network: NetworkSpec) -> None:
        name = self.bridge_name(network)
        link = rt.find_link(self._channel, name)
        if link is not None and link.alias == self._alias(network.id):
            ignore_missing(self._channel, rt.delete_link(name))

    def _is_shy(self, network: NetworkSpec) -> bool:
        return not boolean(network.options, OPTION_ICC, default=True)

    def _port_settings(self, network: NetworkSpec, endpoint: EndpointSpec) -> list[Request]:
        isolated = self._is_shy(network) and not filters_bridged_packets()
        # Where bridged packets pass nftables too (br_netfilter), a container that asks for its own
        # published port gets its packets back by the port that they came from.
        hairpin = bool(endpoint.ports)
        if not (isolated or hairpin):
            return []
        veth = self.veth_name(endpoint.id)
        return [rt.set_bridge_port(veth, hairpin=hairpin, isolated=isolated)]

    def _tune(self, network: NetworkSpec, bridge: str) -> None:
        # Lets 127.0.0.1 be translated to a container; `Firewall` keeps containers from the
        # host's loopback, which this alone would open.
        write_sysctl(f"ipv4/conf/{bridge}/route_localnet", "1")
        if (SYSCTL / "ipv6/conf" / bridge).is_dir():
            # Or a container could make itself the host's router.
            write_sysctl(f"ipv6/conf/{bridge}/accept_ra", "0")
        if not self._forward or network.internal:
            return
        write_sysctl("ipv4/ip_forward", "1")
        if network.ipv6:
            keep_router_advertisements()
            write_sysctl("ipv6/conf/all/forwarding", "1")

    def _mtu(self, network: NetworkSpec) -> int:
        return mtu_option(network.options) or default_mtu(self._channel)


def _families(modes: Mapping[int, GatewayMode], wanted: GatewayMode) -> tuple[int, ...]:
    return tuple(version for version, mode in modes.items() if mode is wanted)


def configure(inside: Channel, endpoint: EndpointSpec) -> None:
    """Bring up an interface that is in the container's namespace already."""
    link = rt.find_link(inside, endpoint.interface_name)
    if link is None:
        raise OSError(errno.ENODEV, "not in the container", endpoint.interface_name)
    addresses = (*endpoint.addresses, *endpoint.link_local)
    has_ipv6 = any(address.version == 6 for address in addresses)
    silent = not has_ipv6 and speaks_ipv6(link.mtu)
    gateways = [ip_address(text) for text in (endpoint.gateway4, endpoint.gateway6) if text]
    inside.execute(
        [
            rt.set_link(rt.LOOPBACK_INDEX, up=True),
            rt.set_link(link.index, up=True, no_link_local=silent),
            *(rt.add_address(link.index, address) for address in addresses),
            *(rt.default_route(gateway, index=link.index) for gateway in gateways),
        ]
    )


def published(network: NetworkSpec, endpoint: EndpointSpec) -> list[Published]:
    """Return the port mappings that rules can serve: those of the container's families."""
    found: list[Published] = []
    for mapping in endpoint.ports:
        address = address_of(endpoint, ip_address(mapping.host_ip).version)
        if address is not None:
            opened = not mapping.host_port or bool(network.options.get(OPTION_TRUSTED))
            found.append(Published(mapping, address, opened=opened))
    return found


def address_of(endpoint: EndpointSpec, version: int) -> IPv4Address | IPv6Address | None:
    """Return the endpoint's address of a family, or None."""
    return next((a.ip for a in endpoint.addresses if a.version == version), None)


def target_of(endpoint: EndpointSpec, mapping: PortMapping) -> IPv4Address | IPv6Address | None:
    """Return the address that a forwarding socket of the mapping leads to, of either family."""
    version = ip_address(mapping.host_ip).version
    return address_of(endpoint, version) or address_of(endpoint, 10 - version)


def mac_of(address: IPv4Address) -> str:
    """Return the MAC address that belongs to an IPv4 address, so that ARP caches stay right."""
    return "02:42:" + address.packed.hex(":")


def random_mac() -> str:
    """Return a locally administered unicast address."""
    return "02:42:" + secrets.token_bytes(4).hex(":")


def bridge_mac(network: NetworkSpec) -> str:
    """Return a bridge's own address, which stays the same when ports come and go."""
    for gateway in network.gateways:
        if isinstance(gateway, IPv4Interface):
            return mac_of(gateway.ip)
    return random_mac()


def default_mtu(channel: Channel) -> int:
    """Return 1500, or less if the interface of the host's default route takes less."""
    routes = rt.dump_routes(channel)
    outward = {route.index for route in routes if route.destination.prefixlen == 0}
    return min(
        [DEFAULT_MTU, *(link.mtu for link in rt.dump_links(channel) if link.index in outward)]
    )


def filters_bridged_packets() -> bool:
    """Tell whether nftables can see what passes from port to port (br_netfilter is loaded).

    Then the rules keep containers apart that shall not talk, published ports excepted; otherwise
    the ports themselves are isolated, and published ports are reached by routing.
    """
    return (SYSCTL / "bridge").is_dir()


def ignore_missing(channel: Channel, request: Request) -> None:
    """Carry a request out; succeeds if its interface is gone already."""
    try:
        channel.execute([request])
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.ENETDOWN):
            raise


def speaks_ipv6(mtu: int) -> bool:
    """Tell whether an interface of that MTU has IPv6, which kernels without it cannot switch off."""
    return mtu >= IPV6_MIN_MTU and (SYSCTL / "ipv6").is_dir()


def write_sysctl(name: str, value: str) -> None:
    """Set a value under /proc/sys/net unless it is set already."""
    path = SYSCTL / name
    if path.read_text().strip() != value:
        path.write_text(value)


def keep_router_advertisements() -> None:
    """Let the host go on learning its routes: forwarding alone would make it stop."""
    for path in SYSCTL.glob("ipv6/conf/*/accept_ra"):
        if path.read_text().strip() == "1":
            path.write_text("2")
