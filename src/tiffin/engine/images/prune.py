"""`docker image prune`: what nobody needs, within the filters."""

from tiffin.api.filters import Filters
from tiffin.api.types.images import DeleteItem, PruneReport
from tiffin.engine.images.context import ImageContext, created_seconds
from tiffin.engine.images.remove import Removal
from tiffin.engine.images.times import parse_moment
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.spec.digest import hex_of

FILTERS = frozenset(("dangling", "label", "label!", "until"))


async def prune(context: ImageContext, filters: Filters) -> PruneReport:
    """Remove unused images: untagged ones, or all with `dangling=false`; InvalidArgument."""
    filters.validate(FILTERS)
    dangling_only = filters.boolean("dangling", default=True)
    until = [parse_moment(text).timestamp() for text in filters.get("until")]
    if len(until) > 1:
        raise InvalidArgument("more than one until filter specified")
    deleted: list[DeleteItem] = []
    freed = 0
    async with context.removing:
        for image in await context.run(context.store.all):
            if until and created_seconds(image) > until[0]:
                continue
            if not filters.matches_labels(image.config.config.labels):
                continue
            items, size = await _remove(context, image, dangling_only=dangling_only)
            deleted += items
            freed += size
        freed += (await context.run(context.store.collect)).size
    await context.run(context.store.discard_stale)
    context.events.publish("image", "prune", "", {"reclaimed": str(freed)})
    return PruneReport(images_deleted=deleted or None, space_reclaimed=freed)


async def _remove(
    context: ImageContext, image: Image, *, dangling_only: bool
) -> tuple[list[DeleteItem], int]:
    names = [record.reference for record in context.store.references(image.id)]
    if dangling_only and any(not name.digest for name in names):
        return [], 0
    if context.users.users_of(image.id) or context.store.records.children(image.id):
        return [], 0
    removal = Removal(context, force=False, prune=True)
    for text in [str(name) for name in names] or [hex_of(image.id)]:
        try:
            await removal.remove(text)
        except (Conflict, NotFound):
            continue  # taken into use, or gone with another one, in the meantime
    return removal.items, removal.freed
