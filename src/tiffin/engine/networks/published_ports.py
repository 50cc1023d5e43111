"""From `-p` and `-P` to wishes for host ports, and from what was given to what inspect shows."""

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

from tiffin.api.types.networks import PortBinding, PortMap
from tiffin.engine.networks.contract import ContainerNetworks
from tiffin.errors import InvalidArgument
from tiffin.networks.firewall import PROTOCOL_NUMBERS
from tiffin.networks.host_ports import PortWish
from tiffin.state.networks import EndpointRecord, PortRecord

ALL_IPV4, ALL_IPV6 = "0.0.0.0", "::"
MAX_PORT = 65535


def wishes(container: ContainerNetworks, *, default_ips: Sequence[str]) -> list[PortWish]:
    """Return what is to be published; InvalidArgument for ports that are none.

    `default_ips` are the host addresses of bindings that name none.
    """
    found: list[PortWish] = []
    bound: set[tuple[str, int]] = set()
    for key, bindings in container.port_bindings.items():
        for protocol, port in container_ports(key):
            for binding in bindings or (PortBinding(),):
                bound.add((protocol, port))
                found.append(_wish(protocol, port, binding, default_ips))
    if container.publish_all:
        for key in container.exposed_ports:
            found += [
                PortWish(protocol, port, tuple(default_ips))
                for protocol, port in container_ports(key)
                if (protocol, port) not in bound
            ]
    # Who may choose comes last, so that nobody takes what another one must have.
    return sorted(found, key=lambda wish: (not wish.first, wish.last - wish.first))


def container_ports(key: str) -> Iterator[tuple[str, int]]:
    """Yield (protocol, port) of `80`, `80/tcp` or `8000-8010/udp`; InvalidArgument."""
    ports, _, protocol = key.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOL_NUMBERS:
        raise InvalidArgument(f"invalid proto: {protocol}")
    first, last = _range(ports, key)
    for port in range(first, last + 1):
        yield protocol, port


def port_map(container: ContainerNetworks, records: Iterable[PortRecord]) -> PortMap:
    """Return what inspect shows: exposed ports with their bindings, null for none."""
    shown: PortMap = {}
    for key in container.exposed_ports:
        for protocol, port in container_ports(key):
            shown[f"{port}/{protocol}"] = None
    for record in records:
        for offset in range(record.count):
            key = f"{record.container_port + offset}/{record.protocol}"
            number = str(record.host_port + offset) if record.host_port else ""
            binding = PortBinding(host_ip=record.host_ip, host_port=number)
            shown[key] = [*(shown.get(key) or ()), binding]
    return shown


class TakenPorts:
    """The host ports of our containers; a port of all addresses is taken on each of them."""

    def __init__(self, endpoints: Iterable[EndpointRecord]) -> None:
        self._records = [record for endpoint in endpoints for record in endpoint.ports]

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple):
            return False
        protocol, host_ip, port = item
        return any(
            record.protocol == protocol
            and record.host_port <= port < record.host_port + record.count
            and (record.host_ip == host_ip or _covers(host_ip, record.host_ip))
            for record in self._records
        )


def _covers(asked: str, held: str) -> bool:
    """Whether one of them stands for all addresses of the other's family."""
    one, other = ip_address(asked), ip_address(held)
    return one.version == other.version and (one.is_unspecified or other.is_unspecified)


def _wish(protocol: str, port: int, binding: PortBinding, default_ips: Sequence[str]) -> PortWish:
    host_ips = tuple(default_ips)
    if binding.host_ip:
        text = binding.host_ip.removeprefix("[").removesuffix("]")
        try:
            host_ips = (str(ip_address(text)),)
        except ValueError as error:
            raise InvalidArgument(f"invalid IP address: {binding.host_ip}") from error
    if binding.host_port in ("", "0"):
        return PortWish(protocol, port, host_ips)
    first, last = _range(binding.host_port, binding.host_port)
    return PortWish(protocol, port, host_ips, first, last)


def _range(text: str, quoted: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    last = last or first
    if not (_is_port(first) and _is_port(last)) or int(last) < int(first):
        raise InvalidArgument(f"invalid port specification: {quoted!r}")
    return int(first), int(last)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= MAX_PORT
