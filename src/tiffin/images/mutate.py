"""Images by change: a base, one more layer, another config; nothing is edited in place."""

from dataclasses import dataclass, field, replace

from tiffin.images.image import Image
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import DiffId
from tiffin.spec.image import ContainerConfig, History, ImageConfig


@dataclass(frozen=True, slots=True)
class Draft:
    """What `create_image` takes: a config and its layers. `Draft()` is `FROM scratch`."""

    config: ImageConfig = field(default_factory=ImageConfig)
    layers: tuple[Descriptor, ...] = ()

    def append_layer(self, layer: Descriptor, diff_id: DiffId, history: History) -> "Draft":
        """Return it with one more layer on top."""
        return Draft(self.config.append_layer(diff_id, history), (*self.layers, layer))

    def append_history(self, history: History) -> "Draft":
        """Return it with a step that changed no file."""
        entry = replace(history, empty_layer=True)
        config = replace(self.config, history=(*self.config.history, entry))
        return replace(self, config=config)

    def with_config(self, config: ContainerConfig) -> "Draft":
        """Return it with other defaults for its containers."""
        return replace(self, config=replace(self.config, config=config))


def draft_of(image: Image) -> Draft:
    """Return an existing image as the base of a new one."""
    return Draft(image.config, image.layers)
