"""What the daemon's configuration says about networks."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """The default bridge, what new networks start from, and name resolution.

    Empty strings leave the choice to us. `bridge` names an existing bridge to use as the default
    one, or is `none` for no default network at all.
    """

    bridge: str = ""
    bip: str = ""
    bip6: str = ""
    fixed_cidr: str = ""
    fixed_cidr_v6: str = ""
    ipv6: bool = False
    icc: bool = True
    ip_forward: bool = True
    ip_masq: bool = True
    mtu: int = 0
    """0: as much as the way out allows, at most 1500."""
    publish_ip: str = ""
    """Host address that ports are published on when none is given; "" means all."""
    address_pools: tuple[tuple[str, int], ...] = ()
    """(base, prefix length of each network)."""
    network_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What new networks get, by driver."""
    host_gateway_ips: tuple[str, ...] = ()
    """What `host-gateway` stands for; the default bridge's addresses if empty."""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
