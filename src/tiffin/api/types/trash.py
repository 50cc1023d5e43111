"""What was removed and can be brought back, on the wire. An extension of Docker's API."""

from msgspec import field

from tiffin.api.codec import Wire


class TrashItem(Wire, rename="pascal"):
    """One removed object. `size` is what it still takes, bytes."""

    kind: str
    id: str = field(name="ID")
    names: list[str]
    size: int = 0


class TrashOperation(Wire, rename="pascal"):
    """What one request removed. Times are RFC 3339; an empty `expires_at` means never."""

    number: int
    what: str
    removed_at: str
    expires_at: str
    size: int
    items: list[TrashItem]


class TrashListing(Wire, rename="pascal"):
    """`GET /trash`, the latest operation first. Limits of 0 mean none."""

    operations: list[TrashOperation]
    size: int
    keep_seconds: int
    keep_bytes: int


class NotRestored(Wire, rename="pascal"):
    """An object that stays in the trash, and why."""

    item: TrashItem
    message: str


class RestoreReport(Wire, rename="pascal"):
    """`POST /trash/restore`."""

    operation: int
    what: str
    restored: list[TrashItem]
    failed: list[NotRestored]


class EmptyReport(Wire, rename="pascal"):
    """`DELETE /trash`."""

    space_reclaimed: int
