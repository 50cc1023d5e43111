"""`docker image prune`: what nobody needs, within the filters."""

from collections.abc import Callable, Collection

from tiffin.api.filters import Filters
from tiffin.api.types.images import DeleteItem, PruneReport
from tiffin.engine.images.context import ImageContext, created_seconds
from tiffin.engine.images.remove import Removal
from tiffin.engine.images.times import parse_moment
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.spec.digest import Digest, hex_of

FILTERS = frozenset(("dangling", "label", "label!", "until"))


async def prune(context: ImageContext, filters: Filters) -> PruneReport:
    """Remove unused images: untagged ones, or all with `dangling=false`; InvalidArgument."""
    accepts = _accepting(filters)
    dangling_only = filters.boolean("dangling", default=True)
    operation = await context.bin.begin("image prune")
    deleted: list[DeleteItem] = []
    freed = 0
    async with context.removing:
        for image in await context.run(context.store.all):
            if not accepts(image):
                continue
            items, size = await _remove(
                context, image, dangling_only=dangling_only, operation=operation
            )
            deleted += items
            freed += size
        freed += (await context.run(context.store.collect)).size
    await context.run(context.store.discard_stale)
    context.events.publish("image", "prune", "", {"reclaimed": str(freed)})
    return PruneReport(images_deleted=deleted or None, space_reclaimed=freed)


async def preview(
    context: ImageContext, filters: Filters, gone: Collection[str] = ()
) -> PruneReport:
    """Tell what `prune` would do, as if the containers `gone` were removed already."""
    accepts = _accepting(filters)
    dangling_only = filters.boolean("dangling", default=True)
    return await context.run(_preview, context, accepts, dangling_only, gone)


def _accepting(filters: Filters) -> Callable[[Image], bool]:
    filters.validate(FILTERS)
    until = [parse_moment(text).timestamp() for text in filters.get("until")]
    if len(until) > 1:
        raise InvalidArgument("more than one until filter specified")

    def accepts(image: Image) -> bool:
        if until and created_seconds(image) > until[0]:
            return False
        return filters.matches_labels(image.config.config.labels)

    return accepts


def _is_unused(
    context: ImageContext, image: Image, *, dangling_only: bool, gone: Collection[str] = ()
) -> bool:
    references = context.store.names(image.id)
    if any(record.image_id != image.id for record in references):
        return False  # it goes with the name of its index
    if dangling_only and any(not record.reference.digest for record in references):
        return False
    family = (image.id, *context.store.variants(references))
    return all(
        container in gone for each in family for container, _ in context.users.users_of(each)
    )


async def _remove(
    context: ImageContext, image: Image, *, dangling_only: bool, operation: int | None
) -> tuple[list[DeleteItem], int]:
    names = [record.reference for record in context.store.references(image.id)]
    if not _is_unused(context, image, dangling_only=dangling_only):
        return [], 0
    if context.store.records.children(image.id):
        return [], 0
    removal = Removal(context, force=False, prune=True, operation=operation)
    for text in [str(name) for name in names] or [hex_of(image.id)]:
        try:
            await removal.remove(text)
        except (Conflict, NotFound):
            continue  # taken into use, or gone with another one, in the meantime
    return removal.items, removal.freed


def _preview(
    context: ImageContext, accepts: Callable[[Image], bool], dangling_only: bool,
    gone: Collection[str],
) -> PruneReport:  # fmt: skip
    store = context.store
    chosen: dict[Digest, Image] = {}
    unused = [
        image for image in store.all()
        if _is_unused(context, image, dangling_only=dangling_only, gone=gone)
    ]  # fmt: skip
    pending = [image for image in unused if accepts(image)]
    unused_ids = {image.id for image in unused}
    while pending:
        image = pending.pop()
        if image.id in chosen or not set(store.records.children(image.id)) <= set(chosen):
            continue
        chosen[image.id] = image
        parent = store.parent(image.id)
        if parent:
            # It goes along if it has no name; or its turn has come again, now without a child.
            found = store.get(Digest(parent))
            if not store.references(found.id) or (found.id in unused_ids and accepts(found)):
                pending.append(found)
    for image in list(chosen.values()):
        for variant in store.variants(store.references(image.id)):
            chosen.setdefault(variant, store.get(variant))
    removed = store.would_remove(chosen.values())
    items: list[DeleteItem] = []
    for image in chosen.values():
        items += [
            DeleteItem(untagged=record.reference.familiar) for record in store.references(image.id)
        ]
        items.append(DeleteItem(deleted=image.id))
    items += [DeleteItem(deleted=chain_id) for chain_id in removed.snapshots]
    return PruneReport(images_deleted=items or None, space_reclaimed=removed.size)
