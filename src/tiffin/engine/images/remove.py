"""`docker rmi`: names go first, the image only when nothing speaks against it.

Hard conflicts (children, running containers) cannot be forced; soft ones (other names, stopped
containers) can. The order of checks and the words are Docker's, because clients show them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Flag, auto

from tiffin.api.types.images import DeleteItem
from tiffin.engine.images.context import ImageContext
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.images.index import choose, images_here
from tiffin.images.manifests import read_image
from tiffin.images.platforms import for_platform
from tiffin.spec.digest import Digest, without_algorithm
from tiffin.spec.ids import short
from tiffin.spec.platform import Platform, host_platform
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
    """Why an image is kept; `hard` ones cannot be overruled."""

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
        self._names_gone: dict[Digest, list[ReferenceRecord]] = {}
        self._without_name: list[Digest] = []
        self._force = force
        self._prune = prune
        self.items: list[DeleteItem] = []
        self.freed = 0

    async def remove(self, text: str) -> None:
        """Remove an image by name or id; NotFound, Conflict."""
        await self._remove(text)
        await self._delete_variants()

    async def _remove(self, text: str) -> None:
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
        users = self._users(image_id)
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
        record = self._store.untag(reference, self._operation)
        removed = record.reference
        if record.target.is_index:
            self._without_name += self._store.variants([record])
        self._names_gone.setdefault(image_id, []).append(record)
        self._context.publish("untag", image_id)
        self.items.append(DeleteItem(untagged=removed.familiar))
        return removed

    async def _delete_variants(self) -> None:
        """Delete images of other platforms whose last name is gone, unless something needs them."""
        for image_id in dict.fromkeys(self._without_name):
            is_here = self._store.records.get(image_id) is not None
            if is_here and not self._store.names(image_id):
                await self._delete(image_id, force=False, prune=False, quiet=True)

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
        users = self._users(image_id)
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

    def _users(self, image_id: Digest) -> list[tuple[str, bool]]:
        """Return who uses an image, or what goes with it: images of other platforms."""
        users = list(self._context.users.users_of(image_id))
        for variant in self._store.variants(self._names(image_id)):
            users += self._context.users.users_of(variant)
        return users

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


async def remove_platforms(
    context: ImageContext, text: str, platforms: Sequence[Platform], *, force: bool
) -> list[DeleteItem]:
    """Remove what is here of an index for some platforms and leave the rest; NotFound, Conflict.

    What is removed so does not go to the trash, for the names of the index stay.
    """
    if not force:
        raise InvalidArgument(
            "Content will be removed from all images referencing this variant. "
            "Use --force to force delete."
        )
    items: list[DeleteItem] = []
    async with context.removing:
        for platform in platforms:
            items += await context.run(_remove_platform, context, text, platform)
    return items


def _remove_platform(context: ImageContext, text: str, platform: Platform) -> list[DeleteItem]:
    store = context.store
    image = for_platform(store, text, platform)
    running = [container for container, is_up in context.users.users_of(image.id) if is_up]
    if running:
        message = f"image is being used by running container {short(running[0])}"
        raise _Objection(message, hard=True).error(image.id)
    others = [
        manifest
        for manifest in images_here(store.content, store.target_of(text))
        if manifest.digest != image.manifest.digest
    ]
    if not others:
        raise Conflict(
            f"conflict: unable to delete {short(image.id)} (cannot be forced) - "
            f"no other platform of {text} is here: remove the image itself"
        )
    instead = None
    if store.references(image.id):
        best = choose(store.content, store.target_of(text), host_platform())
        if best is None or best.digest == image.manifest.digest:
            best = others[0]
        instead = store.add_platform(read_image(store.content, best))
    was_here = store.records.get(image.id) is not None
    store.remove_platform(image, instead)
    deleted = [DeleteItem(deleted=image.id)] if was_here else []
    return [*deleted, DeleteItem(deleted=image.manifest.digest)]


def _is_single(names: list[ReferenceRecord]) -> bool:
    """Tell whether all names are of one repository, with one tag at most."""
    tags = [name for name in names if not name.reference.digest]
    return len(tags) <= 1 and len({name.reference.bare() for name in names}) <= 1


def _is_prefix(image_id: Digest, text: str) -> bool:
    return image_id.startswith(text) or without_algorithm(image_id).startswith(text)
