"""Removed images and names, as the trash brings them back or destroys them."""

from tiffin.engine.images.context import ImageContext
from tiffin.errors import Conflict, DataLoss, InvalidArgument, NotFound
from tiffin.spec.digest import Digest
from tiffin.spec.reference import parse_reference
from tiffin.state.images import IMAGE, retired_reference
from tiffin.state.retired import Retired


class RetiredImages:
    """The owner of images and their names in the trash."""

    def __init__(self, context: ImageContext) -> None:
        self._context = context

    async def restore(self, item: Retired) -> None:
        """Bring one back; Conflict if a name means another image by now, DataLoss, NotFound."""
        async with self._context.removing:
            if item.kind != IMAGE:
                self._check_name(item)
            try:
                await self._context.run(self._context.store.restore, item)
            except InvalidArgument as error:
                raise DataLoss(f"image {item.id}: {error.message}") from error
        if item.kind == IMAGE:
            self._context.publish("create", item.id)
        else:
            name = retired_reference(item)
            self._context.publish("tag", name.image_id, name.reference.familiar)

    async def destroy(self, item: Retired) -> int:
        """Drop one for good; return the bytes freed."""
        async with self._context.removing:
            return (await self._context.run(self._context.store.destroy, item)).size

    def _check_name(self, item: Retired) -> None:
        wanted, store = retired_reference(item), self._context.store
        if store.records.get(Digest(wanted.image_id)) is None:
            raise NotFound(f"No such image: {wanted.image_id}")
        present = store.records.reference(parse_reference(item.id))
        if present is not None and present.image_id != wanted.image_id:
            raise Conflict(
                f"{wanted.reference.familiar} is the name of another image by now:"
                f" tag {wanted.image_id} with a name of your choice"
            )
