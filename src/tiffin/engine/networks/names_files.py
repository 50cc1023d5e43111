"""Writes the names files that the resolvers in containers read (see `wire/names.py`).

One file per network with its endpoints, one per container that includes those of its networks.
They live in the exec root: after a reboot nothing runs that could read them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from tiffin.engine.networks.records import bare
from tiffin.fs import atomic
from tiffin.state.networks import EndpointRecord, NetworkRecord


class NamesFiles:
    """The names files of one daemon."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, identifier: str) -> Path:
        """Return the file of a container or of a network."""
        return self._directory / identifier

    def write_network(self, network: NetworkRecord, endpoints: Iterable[EndpointRecord]) -> None:
        """Say who is on a network now."""
        lines = [f"network {network.name}"]
        for endpoint in endpoints:
            names = " ".join(endpoint.names)
            lines += [f"{bare(a)} {names}" for a in (endpoint.ipv4, endpoint.ipv6) if a and names]
        self._write(network.id, lines)

    def write_container(
        self, container: str, networks: Iterable[str], links: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Say which networks a container sees, and its own words (`alias`, `name`) for others."""
        lines = [f"alias {alias} {name}" for alias, name in links]
        lines += [f"include {self.path(network)}" for network in networks]
        self._write(container, lines)

    def remove(self, identifier: str) -> None:
        """Remove the file of a container or network. Idempotent."""
        self.path(identifier).unlink(missing_ok=True)

    def keep_only(self, identifiers: Iterable[str]) -> None:
        """Remove all files but these."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o711)
        kept = set(identifiers)
        for path in self._directory.iterdir():
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def _write(self, identifier: str, lines: Sequence[str]) -> None:
        text = "".join(f"{line}\n" for line in lines)
        atomic.write(self.path(identifier), text.encode(), durable=False)
