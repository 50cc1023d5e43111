"""What becomes of a result. The first exporter makes an image of this machine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tiffin.build.graph import Result
from tiffin.images.image import Image
from tiffin.images.store import ImageStore
from tiffin.images.write import create_image
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
        """Make the image known."""
        if result.image is not None:
            for name in self.names:
                self.store.tag(result.image, name)
            return result.image
        return create_image(self.store.content, self.store, result.config, result.layers,
                            names=self.names)  # fmt: skip
