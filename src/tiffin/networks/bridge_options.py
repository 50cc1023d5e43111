"""The options of bridge networks: Docker's names, checked and read.

https://docs.docker.com/engine/network/drivers/bridge/#options
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from tiffin.errors import InvalidArgument

_PREFIX = "com.docker.network.bridge."
OPTION_NAME = f"{_PREFIX}name"
OPTION_DEFAULT = f"{_PREFIX}default_bridge"
OPTION_ICC = f"{_PREFIX}enable_icc"
OPTION_MASQUERADE = f"{_PREFIX}enable_ip_masquerade"
OPTION_HOST_BINDING = f"{_PREFIX}host_binding_ipv4"
OPTION_INHIBIT_IPV4 = f"{_PREFIX}inhibit_ipv4"
OPTION_TRUSTED = f"{_PREFIX}trusted_host_interfaces"
OPTION_GATEWAY_MODES = {4: f"{_PREFIX}gateway_mode_ipv4", 6: f"{_PREFIX}gateway_mode_ipv6"}
OPTION_HOST_ADDRESSES = {4: "com.docker.network.host_ipv4", 6: "com.docker.network.host_ipv6"}
OPTION_MTU = "com.docker.network.driver.mtu"

NAME_LENGTH = 15
"""Of an interface."""
MIN_MTU, MAX_MTU = 68, 65535

TRUE_WORDS = {"1", "t", "T", "true", "TRUE", "True"}
FALSE_WORDS = {"0", "f", "F", "false", "FALSE", "False"}


class GatewayMode(StrEnum):
    """How one address family of a network gets out, and is got at."""

    NAT = "nat"
    """Masqueraded; only published ports are open."""
    NAT_UNPROTECTED = "nat-unprotected"
    """Masqueraded; every port is open to who routes to the containers."""
    ROUTED = "routed"
    """Not translated at all; only published ports are open, by the containers' own addresses."""
    ISOLATED = "isolated"
    """The host has no address on the network, which must be internal."""


@dataclass(frozen=True, slots=True)
class BridgeOptions:
    """The options of one network."""

    name: str
    """Of the bridge; "" for one of our choice."""
    talking: bool
    masquerade: bool
    inhibit_ipv4: bool
    """The bridge gets no IPv4 address."""
    mtu: int
    modes: Mapping[int, GatewayMode]
    """By address family."""
    trusted: tuple[str, ...]
    """Host interfaces by which published ports are reached at the containers' own addresses."""
    sources: Mapping[int, IPv4Address | IPv6Address]
    """What containers' connections come from, by family, instead of the way out's address."""

    @classmethod
    def read(cls, options: Mapping[str, str]) -> "BridgeOptions":
        """Read the options; InvalidArgument for those that make no sense."""
        host_address(options, OPTION_HOST_BINDING, 4)
        sources = {v: host_address(options, name, v) for v, name in OPTION_HOST_ADDRESSES.items()}
        return cls(
            name=_bridge_name(options.get(OPTION_NAME, "")),
            talking=boolean(options, OPTION_ICC, default=True),
            masquerade=boolean(options, OPTION_MASQUERADE, default=True),
            inhibit_ipv4=boolean(options, OPTION_INHIBIT_IPV4, default=False),
            mtu=mtu_option(options),
            modes={version: gateway_mode(options, version) for version in (4, 6)},
            trusted=tuple(name for name in options.get(OPTION_TRUSTED, "").split(":") if name),
            sources={version: address for version, address in sources.items() if address},
        )

    def is_bare(self, version: int) -> bool:
        """Tell whether the bridge has no address of a family."""
        isolated = self.modes[version] is GatewayMode.ISOLATED
        return isolated or (version == 4 and self.inhibit_ipv4)

    def has_gateway(self, version: int, *, internal: bool) -> bool:
        """Tell whether an address of a family is set aside for a gateway."""
        if self.modes[version] is GatewayMode.ISOLATED:
            return False
        return not (version == 4 and self.inhibit_ipv4 and internal)


def gateway_mode(options: Mapping[str, str], version: int) -> GatewayMode:
    """Read the gateway mode of a family; InvalidArgument."""
    name = OPTION_GATEWAY_MODES[version]
    value = options.get(name, "") or GatewayMode.NAT
    try:
        return GatewayMode(value)
    except ValueError:
        raise InvalidArgument(
            f"failed to parse {name} value: {value} (unknown gateway mode {value})"
        ) from None


def host_address(
    options: Mapping[str, str], name: str, version: int
) -> IPv4Address | IPv6Address | None:
    """Read an address of the host, None if there is none; InvalidArgument."""
    value = options.get(name, "")
    if not value:
        return None
    try:
        address = ip_address(value)
    except ValueError as error:
        raise InvalidArgument(f"failed to parse {name} value: {value} (nil ip)") from error
    if address.version != version and name != OPTION_HOST_BINDING:
        raise InvalidArgument(f"failed to parse {name} value: {value} (not IPv{version})")
    return address


def boolean(options: Mapping[str, str], name: str, *, default: bool) -> bool:
    """Read a boolean option; InvalidArgument if it is neither true nor false."""
    value = options.get(name, "")
    if value in TRUE_WORDS:
        return True
    if value in FALSE_WORDS:
        return False
    if not value:
        return default
    raise InvalidArgument(f"failed to parse {name} value: {value!r} (invalid boolean)")


def mtu_option(options: Mapping[str, str]) -> int:
    """Read the MTU option, 0 if there is none; InvalidArgument if it is no possible MTU."""
    value = options.get(OPTION_MTU, "")
    if not value or value == "0":
        return 0
    if not value.isdecimal() or not MIN_MTU <= int(value) <= MAX_MTU:
        raise InvalidArgument(f"failed to parse {OPTION_MTU} value: {value!r} (invalid MTU)")
    return int(value)


def _bridge_name(name: str) -> str:
    if name and (len(name) > NAME_LENGTH or "/" in name or name in (".", "..") or " " in name):
        raise InvalidArgument(f"invalid bridge name {name!r}")
    return name
