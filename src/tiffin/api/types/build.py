"""Wire types of the builder and of commit."""

from typing import ClassVar

from msgspec import field

from tiffin.api.codec import Wire


class BuildCacheRecord(Wire):
    """One record of the build cache, an item of `GET /system/df`. Sizes in bytes."""

    omit_empty: ClassVar[frozenset[str]] = frozenset({"Parents"})

    id: str = field(name="ID")
    parents: list[str] = field(name="Parents", default_factory=list)
    type: str = field(name="Type", default="regular")
    description: str = field(name="Description", default="")
    in_use: bool = field(name="InUse", default=False)
    shared: bool = field(name="Shared", default=False)
    size: int = field(name="Size", default=0)
    created_at: str = field(name="CreatedAt", default="")
    last_used_at: str | None = field(name="LastUsedAt", default=None)
    usage_count: int = field(name="UsageCount", default=0)


class PruneReport(Wire):
    """Answer of `POST /build/prune`."""

    caches_deleted: list[str] | None = field(name="CachesDeleted", default=None)
    space_reclaimed: int = field(name="SpaceReclaimed", default=0)


class UlimitRequest(Wire):
    """One item of the `ulimits` parameter of `POST /build`."""

    name: str = field(name="Name", default="")
    hard: int = field(name="Hard", default=0)
    soft: int = field(name="Soft", default=0)


class IdResponse(Wire):
    """Answer of `POST /commit`."""

    id: str = field(name="Id")
