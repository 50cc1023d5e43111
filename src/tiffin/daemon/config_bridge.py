"""The daemon's configuration of networks: the default bridge, pools, and options for networks to come."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiffin.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class BridgeDefaults:
    """The default bridge and what new networks start from."""

    bridge: str = ""
    bip: str = ""
    bip6: str = ""
    fixed_cidr: str = ""
    fixed_cidr_v6: str = ""
    ipv6: bool = False
    icc: bool = True
    ip_forward: bool = True
    ip_masq: bool = True
    mtu: int = 1500
    publish_ip: str = "0.0.0.0"  # Docker's default
    userland_proxy: bool = True
    address_pools: tuple[tuple[str, int], ...] = ()
    """(base, prefix length of each network)."""
    network_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What new networks get, by driver."""


def shown(value: object) -> str:
    """Return a setting as messages show it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + " ".join(shown(item) for item in value) + "]"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{k}:{shown(v)}" for k, v in sorted(value.items())) + "]"
    return str(value)


def bridge_defaults(values: Mapping[str, Any]) -> BridgeDefaults:
    """Read what the settings say of networks; InvalidArgument."""
    mtu = values.get("mtu", 0)
    if mtu < 0 or 0 < mtu < 68:
        raise InvalidArgument(f"invalid default MTU: {mtu}")
    if values.get("bridge") and values.get("bip"):
        raise InvalidArgument(
            "you specified -b & --bip, mutually exclusive options. Please specify only one"
        )
    for key in ("bip", "bip6"):
        _check_interface(key, values.get(key, ""))
    for key in ("fixed-cidr", "fixed-cidr-v6"):
        _check_network(key, values.get(key, ""))
    return BridgeDefaults(
        bridge=values.get("bridge", ""),
        bip=values.get("bip", ""),
        bip6=values.get("bip6", ""),
        fixed_cidr=values.get("fixed-cidr", ""),
        fixed_cidr_v6=values.get("fixed-cidr-v6", ""),
        ipv6=values.get("ipv6", False),
        icc=values.get("icc", True),
        ip_forward=values.get("ip-forward", True),
        ip_masq=values.get("ip-masq", True),
        mtu=mtu,
        publish_ip=check_address("ip", values.get("ip", "") or "0.0.0.0"),
        userland_proxy=values.get("userland-proxy", True),
        address_pools=tuple(_pool(pool) for pool in values.get("default-address-pools", [])),
        network_options=_network_options(values.get("default-network-opts", {})),
    )


def _publish_ip(text: str) -> str:
    unspecified = text in ("", "0.0.0.0", "::")  # compared with, not bound
    return "" if unspecified else check_address("ip", text)


def _network_options(given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    for driver, options in given.items():
        if not isinstance(options, dict) or not all(isinstance(v, str) for v in options.values()):
            raise InvalidArgument(f"invalid default-network-opts of {driver}: {shown(options)}")
    return {driver: dict(options) for driver, options in given.items()}


def _pool(pool: Any) -> tuple[str, int]:  # noqa: ANN401  # JSON
    try:
        base, size = ipaddress.ip_network(pool["base"]), int(pool["size"])
        if not base.prefixlen <= size <= base.max_prefixlen:
            raise ValueError("the size does not fit the base")
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidArgument(f"invalid default address pool {shown(pool)}: {error}") from error
    return str(base), size


def _check_interface(key: str, text: str) -> None:
    try:
        if text and "/" not in text:
            raise ValueError("no prefix length")
        if text:
            ipaddress.ip_interface(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid CIDR address for {key}: {text}") from error


def _check_network(key: str, text: str) -> None:
    try:
        if text:
            ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidArgument(f"invalid CIDR address for {key}: {text}") from error


def check_address(key: str, text: str) -> str:
    """Return an address as it is usually written; InvalidArgument."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise InvalidArgument(f"invalid value for {key}: {text} is not an ip address") from error
