"""What the trash and the nouns whose objects lie in it know of each other."""

from typing import Protocol

from tiffin.state.retired import Retired


class Bin(Protocol):
    """The trash, as use-cases that remove things see it."""

    async def begin(self, what: str) -> int | None:
        """Begin an operation, such as `image prune`; None if removed things are not to be kept."""


class NoBin:
    """Nothing is kept."""

    async def begin(self, what: str) -> int | None:
        """Return None."""
        del what
        return None  # that is the answer


class Owner(Protocol):
    """A noun, as the trash sees it."""

    async def restore(self, item: Retired) -> None:
        """Bring an object back; Conflict if its place is taken, which leaves it in the trash."""

    async def destroy(self, item: Retired) -> int:
        """Drop an object for good and return the bytes that this freed."""
