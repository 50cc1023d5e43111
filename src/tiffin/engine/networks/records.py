"""From records, which hold text, to the values that drivers and IPAM work with."""

from ipaddress import (
    IPv4Interface,
    IPv6Interface,
    ip_address,
    ip_interface,
    ip_network,
)

from tiffin.networks.driver import EndpointSpec, NetworkSpec, PortMapping
from tiffin.networks.ipam import Address, Pool
from tiffin.spec.ids import EndpointId, NetworkId
from tiffin.state.networks import EndpointRecord, NetworkRecord, PoolRecord, PortRecord


def network_spec(record: NetworkRecord) -> NetworkSpec:
    """Return what a driver needs to know of a network."""
    return NetworkSpec(
        id=NetworkId(record.id),
        name=record.name,
        driver=record.driver,
        internal=record.internal,
        ipv4=record.ipv4,
        ipv6=record.ipv6,
        gateways=tuple(_gateway(pool) for pool in record.pools if pool.gateway),
        options=record.options,
    )


def endpoint_spec(record: EndpointRecord) -> EndpointSpec:
    """Return what a driver needs to know of an endpoint."""
    return EndpointSpec(
        id=EndpointId(record.id),
        network=NetworkId(record.network),
        interface_name=record.interface,
        mac_address=record.mac,
        addresses=tuple(ip_interface(text) for text in (record.ipv4, record.ipv6) if text),
        link_local=tuple(ip_interface(text) for text in record.link_local),
        gateway4=record.gateway4 if record.default_route else "",
        gateway6=record.gateway6 if record.default_route else "",
        ports=tuple(port_mapping(port) for port in record.ports),
        options=record.options,
    )


def port_mapping(record: PortRecord) -> PortMapping:
    """Return a port mapping."""
    return PortMapping(
        record.protocol, record.container_port, record.host_ip, record.host_port, record.count
    )


def port_record(mapping: PortMapping) -> PortRecord:
    """Return the record of a port mapping."""
    return PortRecord(
        mapping.protocol,
        mapping.container_port,
        mapping.host_ip,
        mapping.host_port,
        mapping.count,
    )


def pool(record: PoolRecord) -> Pool:
    """Return a subnet with its gateway."""
    return Pool(
        subnet=ip_network(record.subnet),
        gateway=ip_address(record.gateway) if record.gateway else None,
        range=ip_network(record.range) if record.range else None,
        reserved={name: ip_address(text) for name, text in record.reserved.items()},
    )


def pool_record(made: Pool, *, configured: bool) -> PoolRecord:
    """Return the record of a subnet."""
    return PoolRecord(
        subnet=str(made.subnet),
        gateway=str(made.gateway) if made.gateway else "",
        range=str(made.range) if made.range else "",
        reserved={name: str(address) for name, address in made.reserved.items()},
        configured=configured,
    )


def pool_of(record: NetworkRecord, version: int) -> PoolRecord | None:
    """Return a network's first subnet of a family."""
    return next((p for p in record.pools if ip_network(p.subnet).version == version), None)


def bare(text: str) -> str:
    """Return an address without its prefix length."""
    return text.partition("/")[0]


def prefix_length(text: str) -> int:
    """Return the prefix length of an address, 0 if there is no address."""
    return int(text.partition("/")[2] or 0)


def taken_addresses(endpoints: list[EndpointRecord]) -> set[Address]:
    """Return the addresses of endpoints."""
    return {
        ip_address(bare(text))
        for endpoint in endpoints
        for text in (endpoint.ipv4, endpoint.ipv6)
        if text
    }


def _gateway(record: PoolRecord) -> IPv4Interface | IPv6Interface:
    return ip_interface(f"{record.gateway}/{ip_network(record.subnet).prefixlen}")
