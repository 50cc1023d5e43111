"""Which image a name or id means for a platform."""

from contextlib import suppress

from tiffin.errors import DataLoss, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.images.index import choose
from tiffin.images.manifests import read_image
from tiffin.images.store import ImageStore
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.platform import Platform, matches, rank


def for_platform(store: ImageStore, text: str, platform: Platform | None) -> Image:
    """Return the image that serves `platform` best; it may not be unpacked.

    NotFound in Docker's words if there is no such image, or none for the platform.
    """
    image = store.resolve(text)
    if platform is None:
        return image
    offered = image.config.platform
    position = rank(platform, offered) if offered.architecture else 0
    if position != 0 and (better := _chosen(store, store.target_of(text), platform)):
        return better
    if position is None and not matches(platform, offered):
        raise NotFound(
            f"image with reference {text} was found but its platform ({offered}) does not match "
            f"the specified platform ({platform})"
        )
    return image


def unpacked(store: ImageStore, text: str, platform: Platform | None) -> Image:
    """Return the image as `for_platform` does, ready for containers."""
    image = for_platform(store, text, platform)
    return image if platform is None else store.add_platform(image)


def _chosen(store: ImageStore, target: Descriptor, platform: Platform) -> Image | None:
    """Return the image of an index that serves a platform best, if one that is here does."""
    if not target.is_index:
        return None
    with suppress(InvalidArgument, DataLoss, NotFound):
        manifest = choose(store.content, target, platform)
        if manifest is not None:
            return read_image(store.content, manifest)
    return None
