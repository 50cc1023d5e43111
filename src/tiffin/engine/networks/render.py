"""Networks and endpoints as clients see them."""

import msgspec

from tiffin.api.types.networks import (
    IPAM,
    ConfigReference,
    EndpointSettings,
    IPAMConfig,
    Network,
    NetworkContainer,
    NetworkSettings,
)
from tiffin.engine.networks.context import DEFAULT_NETWORK, PREDEFINED
from tiffin.engine.networks.contract import ContainerNetworks
from tiffin.engine.networks.published_ports import ALL_IPV4, ALL_IPV6, port_map
from tiffin.engine.networks.records import bare, prefix_length
from tiffin.engine.networks.registry import Registry
from tiffin.state.networks import EndpointRecord, NetworkRecord


def network(record: NetworkRecord, endpoints: list[EndpointRecord] | None = None) -> Network:
    """Return what inspect shows; without `endpoints` what the list shows."""
    return Network(
        name=record.name,
        id=record.id,
        created=record.created,
        driver=record.driver,
        enable_ipv4=record.ipv4,
        enable_ipv6=record.ipv6,
        ipam=IPAM(
            driver=record.ipam_driver,
            options=record.ipam_options,
            config=[
                IPAMConfig(
                    subnet=pool.subnet,
                    ip_range=pool.range,
                    gateway=pool.gateway,
                    auxiliary_addresses=pool.reserved,
                )
                for pool in record.pools
            ],
        ),
        internal=record.internal,
        attachable=record.attachable,
        ingress=record.ingress,
        config_from=ConfigReference(network=record.config_from),
        config_only=record.config_only,
        containers={e.container: _container(e) for e in endpoints or ()},
        options=record.options,
        labels=record.labels,
    )


def settings(
    container: ContainerNetworks,
    wishes: dict[str, EndpointSettings],
    registry: Registry,
) -> NetworkSettings:
    """Return a container's network settings; `wishes` are its endpoints by network name."""
    records = {record.network: record for record in registry.endpoints_of(container.id)}
    shown = NetworkSettings()
    for name, wish in wishes.items():
        found = registry.by_name(name)
        record = records.get(found.id) if found else None
        shown.networks[name] = _endpoint(wish, found, record)
    running = list(records.values())
    if running:
        shown.sandbox_id = running[0].sandbox
        shown.ports = port_map(container, [port for record in running for port in record.ports])
    default = shown.networks.get(DEFAULT_NETWORK)
    if default is not None:
        shown.endpoint_id, shown.mac_address = default.endpoint_id, default.mac_address
        shown.gateway, shown.ipv6_gateway = default.gateway, default.ipv6_gateway
        shown.ip_address, shown.ip_prefix_len = default.ip_address, default.ip_prefix_len
        shown.global_ipv6_address = default.global_ipv6_address
        shown.global_ipv6_prefix_len = default.global_ipv6_prefix_len
    return shown


def dns_names(container: ContainerNetworks, wish: EndpointSettings) -> list[str]:
    """Return the names that an endpoint has on a user-defined network, its own name first."""
    names = [container.name, *(wish.aliases or ()), container.id[:12]]
    if container.hostname:
        names.append(container.hostname)
    return list(dict.fromkeys(name for name in names if name))


def _container(record: EndpointRecord) -> NetworkContainer:
    return NetworkContainer(
        name=record.container_name,
        endpoint_id=record.id,
        mac_address=record.mac,
        ipv4_address=record.ipv4,
        ipv6_address=record.ipv6,
    )


def _endpoint(
    wish: EndpointSettings, found: NetworkRecord | None, record: EndpointRecord | None
) -> EndpointSettings:
    shown = msgspec.structs.replace(wish)
    if found is not None:
        shown.network_id = found.id
        if found.name not in PREDEFINED:
            shown.dns_names = list(record.names) if record else None
    if record is None:
        return shown
    shown.endpoint_id, shown.mac_address = record.id, record.mac
    shown.gateway, shown.ipv6_gateway = _shown(record.gateway4), _shown(record.gateway6)
    shown.ip_address, shown.ip_prefix_len = bare(record.ipv4), prefix_length(record.ipv4)
    shown.global_ipv6_address = bare(record.ipv6)
    shown.global_ipv6_prefix_len = prefix_length(record.ipv6)
    return shown


def _shown(gateway: str) -> str:
    """Return "" where the interface itself leads outside."""
    return "" if gateway in (ALL_IPV4, ALL_IPV6) else gateway
