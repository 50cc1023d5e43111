"""An image store on a temporary directory, and images to fill it with."""

import io
import os
from pathlib import Path

from tiffin.content.local import LocalContentStore
from tiffin.images.image import Image
from tiffin.images.load import Loaded, load
from tiffin.images.store import ImageStore
from tiffin.images.unpack import OnRead, ignore_progress
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.spec.platform import Platform, host_platform
from tiffin.state.database import Database
from tiffin.state.images import ImageRecords
from tiffin.testing.sample_images import SampleImage, archive, docker_members, layer_tar

BASE = layer_tar({"etc/passwd": b"root", "bin/sh": b"#!"})
TOP = layer_tar({"app/main": b"x" * 1000})
ONE = SampleImage((BASE,))
TWO = SampleImage((BASE, TOP))


class Lab:
    """Opens (and opens again, as after a crash) a store below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(exist_ok=True)
        self.content = LocalContentStore(root / "content")
        self.snapshotter = OverlaySnapshotter(root / "snapshots")
        self.database = Database(root / "state.db")
        self.store = ImageStore(self.content, self.snapshotter, ImageRecords(self.database))

    def close(self) -> None:
        """Close what is open; the directory stays."""
        self.snapshotter.close()
        self.database.close()

    def load(self, data: bytes, platform: Platform | None = None) -> list[Loaded]:
        """Load an archive."""
        return load(self.store, io.BytesIO(data), platform or host_platform(), on_layer)

    def put(self, image: SampleImage, *names: str) -> Image:
        """Load one image from an archive of the older kind."""
        return self.load(archive(docker_members(image, names)))[0].image

    def blobs(self) -> set[str]:
        """Return the digests of all blobs."""
        return {info.digest for info in self.content.walk()}

    def snapshots(self) -> set[str]:
        """Return the names of all snapshots."""
        return {info.name for info in self.snapshotter.walk()}

    def ingests(self) -> list[str]:
        """Return what is left of unfinished writes."""
        return os.listdir(self.root / "content" / "ingest")

    def is_empty(self) -> bool:
        """Tell whether nothing at all is left."""
        return not (self.blobs() or self.snapshots() or self.ingests() or self.store.all())


def on_layer(_diff_id: str, _size: int) -> OnRead:
    """Report no progress."""
    return ignore_progress
