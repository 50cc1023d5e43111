"""All networks and endpoints, in memory and, through the repository, on disk.

Reading is safe from any thread (each answer is a snapshot); the use-cases hold one lock around
what must be seen together or is changed.
"""

from collections.abc import Iterable, Sequence

from tiffin.errors import InvalidArgument, NotFound
from tiffin.spec.ids import is_id
from tiffin.state.networks import EndpointRecord, NetworkRecord, NetworkRepository
from tiffin.state.retired import Retired


class Registry:
    """Networks by id; endpoints by container and network, in the order of their interfaces."""

    def __init__(self, repository: NetworkRepository) -> None:
        self._repository = repository
        self._networks = {record.id: record for record in repository.networks()}
        self._endpoints: dict[str, dict[str, EndpointRecord]] = {}
        for record in repository.endpoints():
            self._endpoints.setdefault(record.container, {})[record.network] = record

    def networks(self) -> list[NetworkRecord]:
        """Return all networks, oldest first."""
        return list(self._networks.values())

    def network(self, identifier: str) -> NetworkRecord | None:
        """Return a network by its full id."""
        return self._networks.get(identifier)

    def by_name(self, name: str) -> NetworkRecord | None:
        """Return a network by its name."""
        return next((n for n in self.networks() if n.name == name), None)

    def find(self, reference: str) -> NetworkRecord:
        """Return a network by id, name or unique start of its id; NotFound, InvalidArgument."""
        found = self._networks.get(reference) or self.by_name(reference)
        if found is not None:
            return found
        matches = [n for n in self.networks() if n.id.startswith(reference)]
        if not reference or not matches or is_id(reference):
            raise NotFound(f"network {reference} not found")
        if len(matches) > 1:
            raise InvalidArgument(
                f"network {reference} is ambiguous ({len(matches)} matches found on ID prefix)"
            )
        return matches[0]

    def put_network(self, record: NetworkRecord) -> None:
        """Add or replace a network."""
        self._repository.put_network(record)
        self._networks[record.id] = record

    def drop_network(self, identifier: str) -> None:
        """Remove a network."""
        self._repository.delete_network(identifier)
        self._networks.pop(identifier, None)

    def retire_network(self, record: NetworkRecord, operation: int) -> None:
        """Remove a network so that it can be restored."""
        self._repository.retire_network(record, operation)
        self._networks.pop(record.id, None)

    def restored(self, item: Retired) -> None:
        """Note that a network is back."""
        self._repository.restored(item)

    def forget_retired(self, item: Retired) -> None:
        """Drop a network that could have been restored."""
        self._repository.forget_retired(item)

    def endpoints(self) -> list[EndpointRecord]:
        """Return all endpoints."""
        return [record for own in list(self._endpoints.values()) for record in list(own.values())]

    def endpoints_on(self, network: str) -> list[EndpointRecord]:
        """Return the endpoints on a network."""
        found = (own.get(network) for own in list(self._endpoints.values()))
        return [record for record in found if record is not None]

    def endpoints_of(self, container: str) -> list[EndpointRecord]:
        """Return the endpoints of a container, in the order of their making."""
        return list(self._endpoints.get(container, {}).values())

    def endpoint(self, container: str, network: str) -> EndpointRecord | None:
        """Return one endpoint."""
        return self._endpoints.get(container, {}).get(network)

    def put_endpoints(self, records: Sequence[EndpointRecord]) -> None:
        """Add or replace endpoints."""
        self._repository.put_endpoints(list(records))
        for record in records:
            self._endpoints.setdefault(record.container, {})[record.network] = record

    def drop_endpoints(self, records: Iterable[EndpointRecord]) -> None:
        """Remove endpoints."""
        for record in records:
            self._repository.delete_endpoints(record.container, record.network)
            own = self._endpoints.get(record.container, {})
            own.pop(record.network, None)
            if not own:
                self._endpoints.pop(record.container, None)

    def connections(self, container: str) -> dict[str, bytes | None]:
        """Return what was connected (JSON settings) and disconnected (None) by hand."""
        return self._repository.connections(container)

    def put_connection(self, container: str, network: str, settings: bytes | None) -> None:
        """Note a connection or a disconnection."""
        self._repository.put_connection(container, network, settings)

    def drop_connections(self, container: str) -> None:
        """Forget what was connected by hand."""
        self._repository.delete_connections(container)
