"""Wire types of volumes, with the member names of the Engine API."""

from typing import Any, ClassVar

from msgspec import field

from tiffin.api.codec import Wire


class VolumeUsage(Wire):
    """What a volume takes and how many containers have it; -1 where it cannot be told."""

    size: int = field(name="Size", default=-1)
    ref_count: int = field(name="RefCount", default=-1)


class Volume(Wire):
    """One volume. `UsageData` is only in `GET /system/df`."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"CreatedAt", "Status", "UsageData"})

    created_at: str = field(name="CreatedAt", default="")
    driver: str = field(name="Driver", default="")
    labels: dict[str, str] | None = field(name="Labels", default=None)
    mountpoint: str = field(name="Mountpoint", default="")
    name: str = field(name="Name", default="")
    options: dict[str, str] | None = field(name="Options", default=None)
    scope: str = field(name="Scope", default="local")
    status: dict[str, Any] | None = field(name="Status", default=None)
    usage_data: VolumeUsage | None = field(name="UsageData", default=None)


class VolumeCreateOptions(Wire):
    """Body of `POST /volumes/create`."""

    name: str = field(name="Name", default="")
    driver: str = field(name="Driver", default="")
    driver_opts: dict[str, str] | None = field(name="DriverOpts", default=None)
    labels: dict[str, str] | None = field(name="Labels", default=None)
    cluster_volume_spec: dict[str, Any] | None = field(name="ClusterVolumeSpec", default=None)


class VolumeList(Wire):
    """Answer of `GET /volumes`."""

    volumes: list[Volume] = field(name="Volumes", default_factory=list)
    warnings: list[str] | None = field(name="Warnings", default=None)


class VolumePruneReport(Wire):
    """Answer of `POST /volumes/prune`."""

    volumes_deleted: list[str] | None = field(name="VolumesDeleted", default=None)
    space_reclaimed: int = field(name="SpaceReclaimed", default=0)
