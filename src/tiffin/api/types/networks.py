"""Wire types of networks and endpoints, with the member names of the Engine API."""

from typing import ClassVar

from msgspec import field

from tiffin.api.codec import Wire


class EndpointIPAMConfig(Wire):
    """Addresses that the user asked for."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"IPv4Address", "IPv6Address", "LinkLocalIPs"})

    ipv4_address: str = field(name="IPv4Address", default="")
    ipv6_address: str = field(name="IPv6Address", default="")
    link_local_ips: list[str] = field(name="LinkLocalIPs", default_factory=list)


class EndpointSettings(Wire):
    """One endpoint: what the user configured, then what is the case while it is up."""

    ipam_config: EndpointIPAMConfig | None = field(name="IPAMConfig", default=None)
    links: list[str] | None = field(name="Links", default=None)
    aliases: list[str] | None = field(name="Aliases", default=None)
    mac_address: str = field(name="MacAddress", default="")
    driver_opts: dict[str, str] | None = field(name="DriverOpts", default=None)
    gw_priority: int = field(name="GwPriority", default=0)
    network_id: str = field(name="NetworkID", default="")
    endpoint_id: str = field(name="EndpointID", default="")
    gateway: str = field(name="Gateway", default="")
    ip_address: str = field(name="IPAddress", default="")
    ip_prefix_len: int = field(name="IPPrefixLen", default=0)
    ipv6_gateway: str = field(name="IPv6Gateway", default="")
    global_ipv6_address: str = field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = field(name="GlobalIPv6PrefixLen", default=0)
    dns_names: list[str] | None = field(name="DNSNames", default=None)


class NetworkingConfig(Wire):
    """Endpoints by network name or id, in `POST /containers/create`."""

    endpoints_config: dict[str, EndpointSettings | None] = field(
        name="EndpointsConfig", default_factory=dict
    )


class PortBinding(Wire):
    """Where on the host a container port is reached; `host_port` may be `""` or a range."""

    host_ip: str = field(name="HostIp", default="")
    host_port: str = field(name="HostPort", default="")


PortMap = dict[str, list[PortBinding] | None]
"""Bindings by `<port>/<protocol>`; null for a port that is exposed but not published."""


class Address(Wire):
    """A secondary address; kept for the shape of old replies."""

    addr: str = field(name="Addr", default="")
    prefix_len: int = field(name="PrefixLen", default=0)


class NetworkSettings(Wire):
    """`NetworkSettings` of a container's inspect."""

    bridge: str = field(name="Bridge", default="")
    sandbox_id: str = field(name="SandboxID", default="")
    sandbox_key: str = field(name="SandboxKey", default="")
    ports: PortMap = field(name="Ports", default_factory=dict)
    hairpin_mode: bool = field(name="HairpinMode", default=False)
    link_local_ipv6_address: str = field(name="LinkLocalIPv6Address", default="")
    link_local_ipv6_prefix_len: int = field(name="LinkLocalIPv6PrefixLen", default=0)
    secondary_ip_addresses: list[Address] | None = field(name="SecondaryIPAddresses", default=None)
    secondary_ipv6_addresses: list[Address] | None = field(
        name="SecondaryIPv6Addresses", default=None
    )
    endpoint_id: str = field(name="EndpointID", default="")
    gateway: str = field(name="Gateway", default="")
    global_ipv6_address: str = field(name="GlobalIPv6Address", default="")
    global_ipv6_prefix_len: int = field(name="GlobalIPv6PrefixLen", default=0)
    ip_address: str = field(name="IPAddress", default="")
    ip_prefix_len: int = field(name="IPPrefixLen", default=0)
    ipv6_gateway: str = field(name="IPv6Gateway", default="")
    mac_address: str = field(name="MacAddress", default="")
    networks: dict[str, EndpointSettings] = field(name="Networks", default_factory=dict)


class IPAMConfig(Wire):
    """One subnet of a network."""

    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"Subnet", "IPRange", "Gateway", "AuxiliaryAddresses"}
    )

    subnet: str = field(name="Subnet", default="")
    ip_range: str = field(name="IPRange", default="")
    gateway: str = field(name="Gateway", default="")
    auxiliary_addresses: dict[str, str] = field(name="AuxiliaryAddresses", default_factory=dict)


class IPAM(Wire):
    """How a network gets its addresses."""

    driver: str = field(name="Driver", default="default")
    options: dict[str, str] | None = field(name="Options", default=None)
    config: list[IPAMConfig] = field(name="Config", default_factory=list)


class ConfigReference(Wire):
    """The config-only network that a network takes its configuration from."""

    network: str = field(name="Network", default="")


class NetworkContainer(Wire):
    """One container on a network, in its inspect; addresses carry the prefix length."""

    name: str = field(name="Name", default="")
    endpoint_id: str = field(name="EndpointID", default="")
    mac_address: str = field(name="MacAddress", default="")
    ipv4_address: str = field(name="IPv4Address", default="")
    ipv6_address: str = field(name="IPv6Address", default="")


class Network(Wire):
    """A network, as listed and inspected."""

    name: str = field(name="Name")
    id: str = field(name="Id")
    created: str = field(name="Created")
    scope: str = field(name="Scope", default="local")
    driver: str = field(name="Driver", default="bridge")
    enable_ipv4: bool = field(name="EnableIPv4", default=True)
    enable_ipv6: bool = field(name="EnableIPv6", default=False)
    ipam: IPAM = field(name="IPAM", default_factory=IPAM)
    internal: bool = field(name="Internal", default=False)
    attachable: bool = field(name="Attachable", default=False)
    ingress: bool = field(name="Ingress", default=False)
    config_from: ConfigReference = field(name="ConfigFrom", default_factory=ConfigReference)
    config_only: bool = field(name="ConfigOnly", default=False)
    containers: dict[str, NetworkContainer] = field(name="Containers", default_factory=dict)
    options: dict[str, str] = field(name="Options", default_factory=dict)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)


class NetworkCreateRequest(Wire):
    """Body of `POST /networks/create`; the two flags are null when left to the daemon."""

    name: str = field(name="Name", default="")
    driver: str = field(name="Driver", default="")
    scope: str = field(name="Scope", default="")
    enable_ipv4: bool | None = field(name="EnableIPv4", default=None)
    enable_ipv6: bool | None = field(name="EnableIPv6", default=None)
    ipam: IPAM | None = field(name="IPAM", default=None)
    internal: bool = field(name="Internal", default=False)
    attachable: bool = field(name="Attachable", default=False)
    ingress: bool = field(name="Ingress", default=False)
    config_only: bool = field(name="ConfigOnly", default=False)
    config_from: ConfigReference | None = field(name="ConfigFrom", default=None)
    options: dict[str, str] = field(name="Options", default_factory=dict)
    labels: dict[str, str] = field(name="Labels", default_factory=dict)


class NetworkCreateResponse(Wire):
    """Reply of `POST /networks/create`."""

    id: str = field(name="Id")
    warning: str = field(name="Warning", default="")


class NetworkConnectRequest(Wire):
    """Body of `POST /networks/{id}/connect`."""

    container: str = field(name="Container", default="")
    endpoint_config: EndpointSettings | None = field(name="EndpointConfig", default=None)


class NetworkDisconnectRequest(Wire):
    """Body of `POST /networks/{id}/disconnect`."""

    container: str = field(name="Container", default="")
    force: bool = field(name="Force", default=False)


class NetworkPruneReport(Wire):
    """Reply of `POST /networks/prune`; null when nothing was deleted."""

    networks_deleted: list[str] | None = field(name="NetworksDeleted", default=None)
