"""An image of this machine, as an immutable view."""

from dataclasses import dataclass

from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import Digest
from tiffin.spec.image import ImageConfig


@dataclass(frozen=True, slots=True)
class Image:
    """One image for one platform; it is unpacked for as long as it exists.

    `id` is the digest of the config's bytes, `manifest` describes the manifest blob, `layers` the
    layer blobs (lowest first, in step with `config.rootfs.diff_ids`).
    """

    id: Digest
    config: ImageConfig
    manifest: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def chain_id(self) -> str:
        """Name of the snapshot of its top layer; "" if it has no layers."""
        chain = self.config.chain_ids()
        return chain[-1] if chain else ""
