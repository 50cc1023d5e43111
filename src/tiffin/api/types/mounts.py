"""Mounts on the wire: as asked for (`HostConfig.Mounts`) and as they are (`Mounts` of inspect)."""

from typing import ClassVar

import msgspec

from tiffin.api.codec import Wire


class BindOptions(Wire, rename="pascal"):
    """Options of a mount of type `bind`."""

    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"Propagation", "NonRecursive", "CreateMountpoint", "ReadOnlyNonRecursive",
         "ReadOnlyForceRecursive", "IdMap"}
    )  # fmt: skip
    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False
    id_map: str | None = None
    """Not Docker's: show other owners than are stored; "", `owner` or `uids=…;gids=…`."""


class DriverConfig(Wire, rename="pascal"):
    """The volume driver that shall create a volume, and its options."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"Name", "Options"})
    name: str = ""
    options: dict[str, str] | None = None


class VolumeOptions(Wire, rename="pascal"):
    """Options of a mount of type `volume`."""

    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"NoCopy", "Labels", "Subpath", "DriverConfig"}
    )
    no_copy: bool = False
    labels: dict[str, str] | None = None
    subpath: str = ""
    driver_config: DriverConfig | None = None


class ImageOptions(Wire, rename="pascal"):
    """Options of a mount of type `image`."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"Subpath"})
    subpath: str = ""


class TmpfsOptions(Wire, rename="pascal"):
    """Options of a mount of type `tmpfs`; `mode` is a number such as 0o1777."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"SizeBytes", "Mode", "Options"})
    size_bytes: int = 0
    mode: int = 0
    options: list[list[str]] | None = None


class MountRequest(Wire, rename="pascal"):
    """One entry of `HostConfig.Mounts` (`--mount`)."""

    omit_empty: ClassVar[frozenset[str]] = frozenset(
        {"Type", "Source", "Target", "ReadOnly", "Consistency", "BindOptions", "VolumeOptions",
         "ImageOptions", "TmpfsOptions"}
    )  # fmt: skip
    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class MountPoint(Wire):
    """One mount of a container, as inspect and list show it."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"Type", "Name", "Driver"})
    type: str = msgspec.field(default="", name="Type")
    name: str = msgspec.field(default="", name="Name")
    source: str = msgspec.field(default="", name="Source")
    destination: str = msgspec.field(default="", name="Destination")
    driver: str = msgspec.field(default="", name="Driver")
    mode: str = msgspec.field(default="", name="Mode")
    rw: bool = msgspec.field(default=False, name="RW")
    propagation: str = msgspec.field(default="", name="Propagation")
