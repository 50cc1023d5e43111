"""`docker rmi`: names go first, the image only when nothing speaks against it.

Hard conflicts (children, running containers) cannot be forced; soft ones (other names, stopped
containers) can. The order of checks and the words are Docker's, because clients show them.
"""

from dataclasses import dataclass
from enum import Flag, auto

from tiffin.api.types.images import DeleteItem
from tiffin.engine.images.context import ImageContext
from tiffin.errors import Conflict, NotFound
from tiffin.spec.digest import Digest
from tiffin.spec.ids import short
from tiffin.spec.reference import Reference, parse_reference
from tiffin.state.images import ReferenceRecord


class Check(Flag):
    """What may speak against removing an image."""

    CHILDREN = auto()
    RUNNING = auto()
    NAMES = auto()
    STOPPED = auto()
    HARD = CHILDREN | RUNNING
    SOFT = NAMES | STOPPED


@dataclass(frozen=True, slots=True)
class _Objection:
    message: str
    hard: bool
    used: bool = False

    def error(self, image_id: Digest) -> Conflict:
        force = "cannot be forced" if self.hard else "must be forced"
        return Conflict(f"conflict: unable to delete {short(image_id)} ({force}) - {self.message}")


class Removal:
    """One request to remove; `items` and `freed` (bytes) are what it did.

    With an `operation` all of it lies in the trash afterwards.
    """

    def __init__(
        self, context: ImageContext, *, force: bool, prune: bool, operation: int | None = None
    ) -> None:
        self._context = context
        self._store = context.store
        self._operation = operation
        self._names_gone: dict[Digest, list[str]] = {}
        self._force = force
        self._prune = prune
        self.items: list[DeleteItem] = []
        self.freed = 0

    async def remove(self, text: str) -> None:
        """Remove an image by name or id; NotFound, Conflict."""
        image_id = self._store.resolve_id(text)
        names = self._names(image_id)
        by_name = not _is_prefix(image_id, text)
        if by_name:
            self._check_last_name(image_id, names, text)
            self._untag_family(parse_reference(text), image_id)
            if self._names(image_id):
                return
        elif _is_single(names):
            mask = Check.HARD if self._force else Check.HARD | Check.STOPPED
            if objection := self._objection(image_id, mask):
                raise objection.error(image_id)
            for name in names:
                self._untag(name.reference, image_id)
        await self._delete(image_id, force=self._force, prune=self._prune, quiet=by_name)

    def _check_last_name(self, image_id: Digest, names: list[ReferenceRecord], text: str) -> None:
        users = self._context.users.users_of(image_id)
        if self._force or not users or not _is_single(names):
            return
        raise Conflict(
            f'conflict: unable to remove repository reference "{text}" (must force) - container '
            f"{short(users[0][0])} is using its referenced image {short(image_id)}"
        )

    def _untag_family(self, reference: Reference, image_id: Digest) -> None:
        """Take a name away, and the digests of its repository once no tag is left there."""
        removed = self._untag(reference, image_id)
        if removed.digest:
            return
        same = [r for r in self._names(image_id) if r.reference.bare() == removed.bare()]
        if all(r.reference.digest for r in same):
            for record in same:
                self._untag(record.reference, image_id)

    def _untag(self, reference: Reference, image_id: Digest) -> Reference:
        removed = self._store.untag(reference, self._operation).reference
        self._names_gone.setdefault(image_id, []).append(removed.familiar)
        self._context.publish("untag", image_id)
        self.items.append(DeleteItem(untagged=removed.familiar))
        return removed

    async def _delete(self, image_id: Digest, *, force: bool, prune: bool, quiet: bool) -> None:
        mask = Check.HARD if force else Check.HARD | Check.SOFT
        if objection := self._objection(image_id, mask):
            is_dangling = not self._names(image_id) and not self._children(image_id)
            if quiet and (not is_dangling or objection.used):
                return
            raise objection.error(image_id)
        parent = self._store.parent(image_id)
        for name in self._names(image_id):
            self._untag(name.reference, image_id)
        removed = await self._context.run(
            self._store.remove, image_id, self._operation, self._names_gone.get(image_id, ())
        )
        self._context.publish("delete", image_id)
        self.freed += removed.size
        self.items.append(DeleteItem(deleted=image_id))
        self.items.extend(DeleteItem(deleted=chain_id) for chain_id in removed.snapshots)
        if prune and parent:
            await self._delete(Digest(parent), force=False, prune=True, quiet=True)

    def _objection(self, image_id: Digest, mask: Check) -> _Objection | None:
        if mask & Check.CHILDREN and self._children(image_id):
            return _Objection("image has dependent child images", hard=True)
        users = self._context.users.users_of(image_id)
        running = [container for container, is_running in users if is_running]
        if mask & Check.RUNNING and running:
            text = f"image is being used by running container {short(running[0])}"
            return _Objection(text, hard=True, used=True)
        if mask & Check.NAMES and self._names(image_id):
            return _Objection("image is referenced in multiple repositories", hard=False)
        stopped = [container for container, is_running in users if not is_running]
        if mask & Check.STOPPED and stopped:
            text = f"image is being used by stopped container {short(stopped[0])}"
            return _Objection(text, hard=False, used=True)
        return None

    def _names(self, image_id: Digest) -> list[ReferenceRecord]:
        return self._store.references(image_id)

    def _children(self, image_id: Digest) -> list[Digest]:
        return self._store.records.children(image_id)


async def remove(
    context: ImageContext, text: str, *, force: bool = False, prune: bool = True
) -> list[DeleteItem]:
    """Remove an image or one of its names; `prune` takes untagged parents along."""
    operation = await context.bin.begin("image rm")
    removal = Removal(context, force=force, prune=prune, operation=operation)
    async with context.removing:
        try:
            await removal.remove(text)
        except NotFound:
            if not removal.items:
                raise
    return removal.items


def _is_single(names: list[ReferenceRecord]) -> bool:
    """Tell whether all names are of one repository, with one tag at most."""
    tags = [name for name in names if not name.reference.digest]
    return len(tags) <= 1 and len({name.reference.bare() for name in names}) <= 1


def _is_prefix(image_id: Digest, text: str) -> bool:
    return image_id.startswith(text) or image_id.removeprefix("sha256:").startswith(text)
