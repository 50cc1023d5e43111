"""The volume driver contract."""

from dataclasses import dataclass, field
from typing import Protocol

from tiffin.spec.mount import Mount


@dataclass(frozen=True, slots=True)
class VolumeSpec:
    """One volume: `id` is stable, `name` is an attribute that may change."""

    id: str
    name: str
    driver: str
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    created_at: str = ""
    """RFC 3339."""
    anonymous: bool = False


class VolumeDriver(Protocol):
    """One technology of storing volumes."""

    @property
    def name(self) -> str:
        """Driver name, e.g. `local`."""

    def create(self, volume: VolumeSpec) -> None:
        """Make room for the volume; InvalidArgument for unknown or incomplete options."""

    def mountpoint(self, volume: VolumeSpec) -> str:
        """Return the path that `inspect` shows."""

    def mounts(self, volume: VolumeSpec) -> tuple[Mount, ...]:
        """Return what a container must mount; performing it is the runtime's work."""

    def remove(self, volume: VolumeSpec) -> None:
        """Delete the volume's data."""

    def usage(self, volume: VolumeSpec) -> int:
        """Return bytes on disk, or -1 if the driver cannot tell."""
