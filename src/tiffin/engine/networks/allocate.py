"""Reserves what a container's start needs: addresses, names, host ports, texts of files."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_network

from tiffin.api.types.networks import EndpointSettings
from tiffin.engine.networks import files, render
from tiffin.engine.networks.context import (
    DEFAULT_NETWORK,
    HOST_NETWORK,
    PREDEFINED,
    Context,
)
from tiffin.engine.networks.contract import Allocation, ContainerNetworks
from tiffin.engine.networks.published_ports import ALL_IPV4, ALL_IPV6, TakenPorts, wishes
from tiffin.engine.networks.records import (
    bare,
    endpoint_spec,
    network_spec,
    pool,
    pool_of,
    port_record,
    taken_addresses,
)
from tiffin.engine.networks.wishes import canonical_mac, endpoint_wishes, shares_network
from tiffin.engine.tasks.contract import DnsSettings, Forward
from tiffin.errors import Conflict, FailedPrecondition, InvalidArgument, NotFound
from tiffin.networks.bridge import mac_of, random_mac, target_of
from tiffin.networks.bridge_options import OPTION_HOST_BINDING, GatewayMode, gateway_mode
from tiffin.networks.driver import PortMapping
from tiffin.networks.host_ports import BoundSocket, PortWish, has_ipv6, merge
from tiffin.networks.interface_sysctls import interface_sysctls
from tiffin.networks.ipvlan import routes_itself
from tiffin.spec.ids import new_id
from tiffin.state.networks import EndpointRecord, NetworkRecord

OPTION_INTERFACE = "com.docker.network.endpoint.ifname"
NAME_LENGTH = 15


@dataclass(frozen=True, slots=True)
class Planned:
    """An endpoint to be, with the wishes that it comes from."""

    network: NetworkRecord
    wish: EndpointSettings
    record: EndpointRecord


def allocate(context: Context, container: ContainerNetworks) -> Allocation:
    """Reserve and persist; with nothing kept if it fails."""
    if shares_network(container):
        return Allocation(
            container.id, new_netns=False, hosts="", resolv_conf="", hostname=container.hostname
        )
    with context.lock, ExitStack() as undo:
        undo.callback(_forget, context, container)
        planned = _plan(context, container)
        planned, sockets = _publish(context, container, planned)
        for bound in sockets:
            undo.callback(os.close, bound.fd)
        context.registry.put_endpoints([item.record for item in planned])
        allocation = _allocation(context, container, planned, sockets)
        undo.pop_all()
    return allocation


def _forget(context: Context, container: ContainerNetworks) -> None:
    context.registry.drop_endpoints(context.registry.endpoints_of(container.id))


def _plan(context: Context, container: ContainerNetworks) -> list[Planned]:
    sandbox = new_id()
    planned: list[Planned] = []
    wanted = _in_order(endpoint_wishes(container, context.registry))
    reserved = [_wanted_interface(wish) for _, wish in wanted]
    for name, wish in wanted:
        found = context.registry.find(name)
        if found.config_only:
            raise InvalidArgument(
                f"configuration-only network {found.name} cannot be used to run containers"
            )
        others = [item.record.interface for item in planned]
        record = plan_endpoint(
            context, container, found, wish, sandbox=sandbox, used=others, reserved=reserved
        )
        planned.append(Planned(found, wish, record))
    return with_default_route(planned)


def plan_endpoint(
    context: Context,
    container: ContainerNetworks,
    network: NetworkRecord,
    wish: EndpointSettings,
    *,
    sandbox: str,
    used: Sequence[str] = (),
    reserved: Sequence[str] = (),
) -> EndpointRecord:
    """Choose everything about one endpoint.

    `used` are the container's other interfaces, `reserved` names that others want to have.
    """
    interface_sysctls(wish.driver_opts or {})
    ipv4, gateway4 = _address(context, network, wish, 4)
    ipv6, gateway6 = _address(context, network, wish, 6)
    has_interface = network.driver not in ("host", "null")
    mac = canonical_mac(wish.mac_address)
    if not mac and has_interface and network.driver != "ipvlan":
        mac = mac_of(IPv4Address(bare(ipv4))) if ipv4 else random_mac()
    return EndpointRecord(
        id=new_id(),
        container=container.id,
        container_name=container.name,
        network=network.id,
        interface=_interface(wish, used, reserved) if has_interface else "",
        mac=mac,
        ipv4=ipv4,
        ipv6=ipv6,
        link_local=_link_local(wish),
        gateway4=gateway4,
        gateway6=gateway6,
        names=() if network.name in PREDEFINED else tuple(render.dns_names(container, wish)),
        sandbox=sandbox,
        options=dict(wish.driver_opts or {}),
    )


def with_default_route(planned: list[Planned]) -> list[Planned]:
    """Let the endpoint with the highest priority, then the first by name, lead outside."""
    able = [item for item in planned if item.record.gateway4 or item.record.gateway6]
    chosen = min(able, key=lambda item: (-item.wish.gw_priority, item.network.name), default=None)
    return [
        replace(item, record=replace(item.record, default_route=item is chosen)) for item in planned
    ]


def _in_order(
    wanted: dict[str, EndpointSettings],
) -> list[tuple[str, EndpointSettings]]:
    first, rest = list(wanted.items())[:1], list(wanted.items())[1:]
    return [*first, *sorted(rest, key=lambda item: (-item[1].gw_priority, item[0]))]


def _wanted_interface(wish: EndpointSettings) -> str:
    return (wish.driver_opts or {}).get(OPTION_INTERFACE, "")


def _interface(wish: EndpointSettings, used: Sequence[str], reserved: Sequence[str]) -> str:
    named = _wanted_interface(wish)
    if named in ("lo", *used) and named:
        raise FailedPrecondition(f'error renaming interface to "{named}": file exists')
    if named:
        if len(named) > NAME_LENGTH or "/" in named:
            raise InvalidArgument(f"invalid interface name {named!r}")
        return named
    taken = {*used, *reserved}
    return next(f"eth{i}" for i in range(len(taken) + 1) if f"eth{i}" not in taken)


def _address(
    context: Context, network: NetworkRecord, wish: EndpointSettings, version: int
) -> tuple[str, str]:
    """Return address with prefix length, and gateway; both empty without that family."""
    config = wish.ipam_config
    asked = ""
    if config is not None:
        asked = config.ipv4_address if version == 4 else config.ipv6_address
    record = pool_of(network, version)
    wanted = None
    if asked:
        try:
            wanted = ip_address(asked)
        except ValueError as error:
            raise InvalidArgument(f"invalid IPv{version} address: {asked}") from error
        if network.name in PREDEFINED:
            raise InvalidArgument(
                "user specified IP address is supported on user defined networks only"
            )
        if record is None or wanted.version != version:
            raise InvalidArgument(
                f"no configured subnet or ip-range contain the IP address {asked}"
            )
        if not record.configured:
            raise InvalidArgument(
                "user specified IP address is supported only when connecting to networks with"
                " user configured subnets"
            )
    if record is None:
        return "", ""
    taken = taken_addresses(context.registry.endpoints_on(network.id))
    address = context.ipam.address(pool(record), taken, wanted)
    if routes_itself(network.driver, network.options):
        gateway = ALL_IPV4 if version == 4 else ALL_IPV6
    else:
        gateway = record.gateway
    if network.internal:
        gateway = ""
    return f"{address}/{ip_network(record.subnet).prefixlen}", gateway


def _link_local(wish: EndpointSettings) -> tuple[str, ...]:
    """Return the `LinkLocalIPs` with the prefix lengths that Docker gives them."""
    asked = wish.ipam_config.link_local_ips if wish.ipam_config is not None else []
    try:
        addresses = [ip_address(text) for text in asked if text]
    except ValueError as error:
        raise InvalidArgument(f"invalid link-local IP address: [{' '.join(asked)}]") from error
    return tuple(f"{address}/{16 if address.version == 4 else 64}" for address in addresses)


def _publish(
    context: Context, container: ContainerNetworks, planned: list[Planned]
) -> tuple[list[Planned], list[BoundSocket]]:
    carrier = next((item for item in planned if item.record.default_route), None)
    if carrier is None or carrier.network.driver != "bridge":
        # Nothing to reach it by; the mistakes in it are told all the same.
        wishes(container, default_ips=(ALL_IPV4,))
        return planned, []
    wanted = wishes(container, default_ips=_default_ips(context, carrier.network))
    if not wanted:
        return planned, []
    direct, wanted = _routed(carrier.network, wanted)
    taken = TakenPorts(context.registry.endpoints())
    try:
        mappings, sockets = context.host_ports.reserve(wanted, taken)
    except FailedPrecondition as error:
        raise FailedPrecondition(
            "failed to set up container networking: driver failed programming external"
            f" connectivity on endpoint {container.name} ({carrier.record.id}): {error.message}"
        ) from error
    ports = tuple(port_record(mapping) for mapping in (*direct, *merge(mappings)))
    published = replace(carrier, record=replace(carrier.record, ports=ports))
    return [published if item is carrier else item for item in planned], sockets


def _routed(
    network: NetworkRecord, wanted: Sequence[PortWish]
) -> tuple[list[PortMapping], list[PortWish]]:
    """Tell ports that are reached by routing, which need none of the host, from the others."""
    modes = {version: gateway_mode(network.options, version) for version in (4, 6)}
    routed = {version for version, mode in modes.items() if mode is GatewayMode.ROUTED}
    direct: dict[PortMapping, None] = {}
    translated: list[PortWish] = []
    for wish in wanted:
        versions = {text: ip_address(text).version for text in wish.host_ips}
        for version in sorted(routed.intersection(versions.values())):
            host_ip = ALL_IPV4 if version == 4 else ALL_IPV6
            direct[PortMapping(wish.protocol, wish.container_port, host_ip, 0)] = None
        left = tuple(text for text, version in versions.items() if version not in routed)
        if left:
            translated.append(replace(wish, host_ips=left))
    return list(direct), translated


def _default_ips(context: Context, network: NetworkRecord) -> tuple[str, ...]:
    bound = network.options.get(OPTION_HOST_BINDING, "") or context.options.publish_ip
    if bound and bound != ALL_IPV4:
        return (bound,)
    return (ALL_IPV4, ALL_IPV6) if has_ipv6() else (ALL_IPV4,)


def _allocation(
    context: Context,
    container: ContainerNetworks,
    planned: list[Planned],
    sockets: list[BoundSocket],
) -> Allocation:
    wanted = {item.network.name: item.wish for item in planned}
    is_host = any(item.network.driver == HOST_NETWORK for item in planned)
    host = files.host_resolvers()
    resolvers = files.wanted_resolvers(container, context.options, host)
    embedded = has_embedded_dns([item.network for item in planned])
    dns = None
    if any(item.record.ipv4 or item.record.ipv6 for item in planned):
        if embedded:
            write_container_names(context, container, planned)
        isolated = all(item.network.internal for item in planned)
        servers = () if isolated else files.upstreams(resolvers, host)
        dns = DnsSettings(context.names.path(container.id), servers)
    return Allocation(
        container=container.id,
        new_netns=not is_host,
        hosts=host_hosts(context, container) if is_host else hosts_text(context, container),
        resolv_conf=files.resolv_conf(resolvers, host, embedded=embedded, isolated=not is_host),
        hostname=container.hostname,
        dns=dns,
        forwards=_forwards(planned, sockets),
        endpoints=tuple(
            (network_spec(item.network), endpoint_spec(item.record)) for item in planned
        ),
        settings=render.settings(container, wanted, context.registry),
    )


def has_embedded_dns(networks: Sequence[NetworkRecord]) -> bool:
    """Whether names resolve among containers: not on the default bridge, as with Docker."""
    return any(network.name not in PREDEFINED for network in networks)


def write_container_names(
    context: Context, container: ContainerNetworks, planned: Sequence[Planned]
) -> None:
    """Write the file that the container's resolver reads."""
    links = [
        (alias, target)
        for item in planned
        for target, _, alias in (link.partition(":") for link in item.wish.links or ())
        if alias
    ]
    networks = [item.network.id for item in planned if item.network.name not in PREDEFINED]
    context.names.write_container(container.id, networks, links)


def hosts_text(context: Context, container: ContainerNetworks) -> str:
    """Return /etc/hosts for the endpoints that the container has now."""
    own = context.registry.endpoints_of(container.id)
    addresses = [bare(text) for e in own for text in (e.ipv4, e.ipv6) if text]
    gateways = host_gateways(context) if addresses else ()
    return files.hosts(container, addresses, gateways=gateways, links=_links(context, container))


def host_hosts(context: Context, container: ContainerNetworks) -> str:
    """Return the host's own /etc/hosts with the container's extra lines."""
    try:
        with open("/etc/hosts", encoding="utf-8", errors="replace") as file:
            text = file.read()
    except FileNotFoundError:
        text = ""
    extra = files.extra_hosts(container.extra_hosts, host_gateways(context))
    return text + "".join(f"{address}\t{name}\n" for address, name in extra)


def host_gateways(context: Context) -> tuple[str, ...]:
    """Return what `host-gateway` stands for."""
    if context.options.host_gateway_ips:
        return context.options.host_gateway_ips
    default = context.registry.by_name(DEFAULT_NETWORK)
    return tuple(pool.gateway for pool in default.pools if pool.gateway) if default else ()


def _links(context: Context, container: ContainerNetworks) -> list[tuple[str, list[str]]]:
    """Resolve links on the default bridge, where they are lines in /etc/hosts."""
    default = context.registry.by_name(DEFAULT_NETWORK)
    if default is None or context.registry.endpoint(container.id, default.id) is None:
        return []
    found: list[tuple[str, list[str]]] = []
    for link in container.links:
        target, _, alias = link.partition(":")
        target = target.strip("/")
        alias = alias.rsplit("/", 1)[-1] or target
        running = [
            e
            for e in context.registry.endpoints()
            if e.container_name == target or e.container.startswith(target)
        ]
        record = next((e for e in running if e.network == default.id), None)
        if record is None and running:
            raise InvalidArgument(
                f"Cannot link to /{target}, as it does not belong to the default network"
            )
        if record is None:
            raise Conflict(
                f"Cannot link to a non running container: /{target} AS /{container.name}/{alias}"
            )
        names = dict.fromkeys([alias, _hostname(context, record), record.container_name])
        found += [(bare(text), list(names)) for text in (record.ipv4, record.ipv6) if text]
    return found


def _hostname(context: Context, endpoint: EndpointRecord) -> str:
    try:
        path = context.roots.container(endpoint.container) / "hostname"
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return endpoint.container[:12]


def _forwards(planned: list[Planned], sockets: list[BoundSocket]) -> tuple[Forward, ...]:
    carrier = next((item for item in planned if item.record.ports), None)
    if carrier is None:
        return ()
    endpoint = endpoint_spec(carrier.record)
    forwards: list[Forward] = []
    for bound in sockets:
        mapping = next(m for m in endpoint.ports if m.host_ip == bound.host_ip)
        target = target_of(endpoint, mapping)
        if target is None:
            raise NotFound(f"endpoint {endpoint.id} has no address")
        forwards.append(Forward(bound.fd, bound.protocol, str(target), bound.container_port))
    return tuple(forwards)
