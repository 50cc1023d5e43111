"""One mount of a container, between the user's words and the OCI configuration."""

from dataclasses import dataclass, field
from enum import StrEnum

from tiffin.api.types import mounts as wire


class MountKind(StrEnum):
    """Where the mounted files come from."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"
    IMAGE = "image"


DEFAULT_PROPAGATION = "rprivate"


@dataclass(frozen=True, slots=True)
class MountPoint:
    """A resolved wish for a mount; `target` is a clean absolute path.

    `source` is a host path (bind), the path that inspect shows (volume) or an image reference.
    `mode` is what the user wrote after the second colon of `-v`.
    """

    kind: MountKind
    target: str
    source: str = ""
    volume: str = ""
    """Name of the volume; "" for an anonymous one that is still to be created."""
    driver: str = ""
    driver_options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    read_only: bool = False
    mode: str = ""
    propagation: str = ""
    recursive: bool = True
    """Bind what is mounted below the source, too."""
    read_only_recursive: bool = True
    """A read-only bind makes what is mounted below read-only, too, where the kernel can."""
    read_only_forced: bool = False
    """Fail rather than leave something below writable."""
    copy_up: bool = True
    create_source: bool = False
    subpath: str = ""
    idmap: str | None = None
    """A bind whose files show other owners, see `user_namespaces.parse_idmap`."""
    tmpfs_options: tuple[str, ...] = ()
    anonymous: bool = False
    inherited: bool = False
    """Taken over by `--volumes-from`: it exists already."""

    def to_wire(self) -> wire.MountPoint:
        """Return what inspect and list show."""
        shown = wire.MountPoint(
            type=self.kind, destination=self.target, mode=self.mode, rw=not self.read_only
        )
        if self.kind is MountKind.VOLUME:
            shown.name, shown.source, shown.driver = self.volume, self.source, self.driver
        elif self.kind is not MountKind.TMPFS:
            shown.source, shown.propagation = self.source, self.propagation
        return shown
