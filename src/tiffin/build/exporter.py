"""What becomes of a result. The first exporter makes an image of this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tiffin.build.graph import Result
from tiffin.errors import NotFound
from tiffin.images.image import Image
from tiffin.images.lease import Lease
from tiffin.images.store import ImageStore, names_of
from tiffin.images.write import create_image
from tiffin.spec.digest import digest_bytes
from tiffin.spec.reference import Reference


class Exporter(Protocol):
    """Takes the result of a build somewhere."""

    def export(self, result: Result) -> str:
        """Do it and return what identifies the product, e.g. the image's ID; TiffinError."""


@dataclass(frozen=True, slots=True)
class ImageExporter:
    """Makes an image and gives it names."""

    store: ImageStore
    names: Sequence[Reference] = ()

    def export(self, result: Result) -> str:
        """Return the image's ID. A build that changed nothing only names its base."""
        return self.image(result).id

    def image(self, result: Result) -> Image:
        """Make the image known, or name it if it is."""
        with self.store.lease(adds=False) as lease:
            known = self._known(result, lease)
            if known is None:
                return create_image(self.store.content, self.store, result.config, result.layers,
                                    names=self.names)  # fmt: skip
            for name in self.names:
                found = self.store.find(name)
                if found is None or found.image_id != known.id:
                    self.store.tag(known, name)
            return known

    def _known(self, result: Result, lease: Lease) -> Image | None:
        if result.image is not None:
            return result.image
        identifier = digest_bytes(result.config.encode())
        lease.hold(identifier)
        try:
            image = self.store.get(identifier)
        except NotFound:
            return None
        lease.hold(*names_of(image))
        return image
