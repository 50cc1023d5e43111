"""Networks, the endpoints that are up, and what was connected or disconnected by hand.

Addresses and ids are text here; who reads a record gives them their types.
"""

from dataclasses import dataclass, field, replace

import msgspec

from tiffin.state.database import Database
from tiffin.state.retired import Retired, RetiredRecords

NETWORK = "network"
"""Kind of what can be restored."""

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS networks (id TEXT PRIMARY KEY, record BLOB NOT NULL)",
    """CREATE TABLE IF NOT EXISTS endpoints (
        container TEXT NOT NULL, network TEXT NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (container, network))""",
    """CREATE TABLE IF NOT EXISTS connections (
        container TEXT NOT NULL, network TEXT NOT NULL, settings BLOB,
        PRIMARY KEY (container, network))""",
)


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """One subnet of a network. `configured` tells a user's subnet from a chosen one."""

    subnet: str
    gateway: str
    range: str = ""
    reserved: dict[str, str] = field(default_factory=dict)
    configured: bool = False


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """One network. `ready` is false while its kernel objects are being made or removed."""

    id: str
    name: str
    created: str
    """RFC 3339 with nanoseconds."""
    driver: str
    ipv4: bool = True
    ipv6: bool = False
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: str = ""
    predefined: bool = False
    ready: bool = False
    ipam_driver: str = "default"
    ipam_options: dict[str, str] | None = None
    pools: tuple[PoolRecord, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def as_ready(self) -> "NetworkRecord":
        """Return the record of the network once it is made."""
        return replace(self, ready=True)


@dataclass(frozen=True, slots=True)
class PortRecord:
    """A published range of ports, as `networks.driver.PortMapping`."""

    protocol: str
    container_port: int
    host_ip: str
    host_port: int
    count: int = 1


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """One endpoint that is up, or about to be. Addresses carry their prefix length."""

    id: str
    container: str
    container_name: str
    network: str
    interface: str
    mac: str = ""
    ipv4: str = ""
    ipv6: str = ""
    link_local: tuple[str, ...] = ()
    gateway4: str = ""
    gateway6: str = ""
    default_route: bool = False
    ports: tuple[PortRecord, ...] = ()
    names: tuple[str, ...] = ()
    """For DNS; the first is the one that a reverse look-up gives."""
    sandbox: str = ""
    """Id of the container's stack, the same for all its endpoints."""
    dns_udp_port: int = 0
    dns_tcp_port: int = 0
    options: dict[str, str] = field(default_factory=dict)


def retired_network(item: Retired) -> NetworkRecord:
    """Return the record that a network had."""
    return _network_decoder.decode(item.record)


_network_decoder = msgspec.json.Decoder(NetworkRecord)
_endpoint_decoder = msgspec.json.Decoder(EndpointRecord)


class NetworkRepository:
    """The tables of networks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._retired = RetiredRecords(database)
        database.ensure(_SCHEMA)

    def networks(self) -> list[NetworkRecord]:
        """Return all networks, oldest first."""
        rows = self._database.query("SELECT record FROM networks ORDER BY rowid")
        return [_network_decoder.decode(row[0]) for row in rows]

    def put_network(self, record: NetworkRecord) -> None:
        """Store a network durably."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO networks VALUES (?, ?) "
                "ON CONFLICT (id) DO UPDATE SET record = excluded.record",
                (record.id, msgspec.json.encode(record)),
            )

    def delete_network(self, network: str) -> None:
        """Drop a network and what was connected to it by hand."""
        with self._database.transaction(frees=True) as connection:
            connection.execute("DELETE FROM networks WHERE id = ?", (network,))
            connection.execute("DELETE FROM connections WHERE network = ?", (network,))

    def retire_network(self, record: NetworkRecord, operation: int) -> None:
        """Move a network among what can be restored, durably."""
        with self._database.transaction(frees=True) as connection:
            written = msgspec.json.encode(record)
            self._retired.add(Retired(operation, NETWORK, record.id, (record.name,), 0, written))
            connection.execute("DELETE FROM networks WHERE id = ?", (record.id,))

    def restored(self, item: Retired) -> None:
        """Note that a network is back."""
        self._retired.remove(item)

    def forget_retired(self, item: Retired) -> None:
        """Drop a network that could have been restored, and what was connected to it by hand."""
        with self._database.transaction(frees=True):
            self._retired.remove(item)
            self.delete_network(item.id)

    def endpoints(self) -> list[EndpointRecord]:
        """Return all endpoints, oldest first."""
        rows = self._database.query("SELECT record FROM endpoints ORDER BY rowid")
        return [_endpoint_decoder.decode(row[0]) for row in rows]

    def put_endpoints(self, records: list[EndpointRecord]) -> None:
        """Store endpoints. They need not survive the machine, which takes their kernel side."""
        with self._database.transaction(durable=False) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO endpoints VALUES (?, ?, ?)",
                [(r.container, r.network, msgspec.json.encode(r)) for r in records],
            )

    def delete_endpoints(self, container: str, network: str | None = None) -> None:
        """Drop the endpoints of a container, or the one on a network."""
        with self._database.transaction(frees=True, durable=False) as connection:
            connection.execute(
                "DELETE FROM endpoints WHERE container = ? AND network = coalesce(?, network)",
                (container, network),
            )

    def connections(self, container: str) -> dict[str, bytes | None]:
        """Return by network what was done by hand: JSON settings, None for a disconnection."""
        rows = self._database.query(
            "SELECT network, settings FROM connections WHERE container = ?", (container,)
        )
        return {row[0]: row[1] for row in rows}

    def put_connection(self, container: str, network: str, settings: bytes | None) -> None:
        """Store a connection, or with None a disconnection."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO connections VALUES (?, ?, ?)",
                (container, network, settings),
            )

    def delete_connections(self, container: str) -> None:
        """Drop what was done by hand to a container that is removed."""
        with self._database.transaction(frees=True, durable=False) as connection:
            connection.execute("DELETE FROM connections WHERE container = ?", (container,))
