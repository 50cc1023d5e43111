"""Which volumes there are and who uses them, in memory; the table is the truth for the former.

Users are known only here: containers say again what they use when the daemon starts.
"""

from dataclasses import dataclass, field

from tiffin.errors import NotFound
from tiffin.volumes.driver import VolumeSpec


@dataclass(slots=True)
class VolumeState:
    """One volume and the ids of the containers that use it, in order of arrival."""

    spec: VolumeSpec
    users: dict[str, None] = field(default_factory=dict)


class VolumeRegistry:
    """Volumes by name; used in the event loop's thread only."""

    def __init__(self) -> None:
        self._volumes: dict[str, VolumeState] = {}

    def add(self, spec: VolumeSpec) -> None:
        """Add a volume."""
        self._volumes[spec.name] = VolumeState(spec)

    def discard(self, name: str) -> None:
        """Forget a volume."""
        self._volumes.pop(name, None)

    def find(self, name: str) -> VolumeState | None:
        """Return a volume, or None."""
        return self._volumes.get(name)

    def get(self, name: str) -> VolumeState:
        """Return a volume; NotFound in Docker's words."""
        state = self._volumes.get(name)
        if state is None:
            raise NotFound(f"get {name}: no such volume")
        return state

    def all(self) -> list[VolumeState]:
        """Return all volumes, sorted by name."""
        return [self._volumes[name] for name in sorted(self._volumes)]

    def release(self, container_id: str) -> None:
        """Forget a user everywhere."""
        for state in self._volumes.values():
            state.users.pop(container_id, None)
