"""An image store on a temporary directory, and images to fill it with."""

import io
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiffin.content.local import LocalContentStore
from tiffin.engine.events import Events
from tiffin.engine.images.access import RegistryAccess
from tiffin.engine.images.service import Images
from tiffin.images.image import Image
from tiffin.images.load import Loaded, load
from tiffin.images.store import ImageStore, is_download
from tiffin.images.unpack import OnRead, ignore_progress
from tiffin.registry.endpoints import RegistryOptions
from tiffin.registry.transport import Retry
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.spec.digest import Digest
from tiffin.spec.platform import Platform
from tiffin.state.database import Database
from tiffin.state.images import ImageRecords
from tiffin.testing.sample_images import SampleImage, archive, docker_members, layer_tar
from tiffin.wire.jsonmessage import JsonMessage

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
        return load(self.store, io.BytesIO(data), platform, on_layer)

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

    def is_empty(self, *, but_downloads: bool = False) -> bool:
        """Tell whether nothing at all is left, `but_downloads` that can be resumed."""
        refs = [path.read_text() for path in (self.root / "content" / "ingest").glob("*/ref")]
        ingests = self.ingests()
        if but_downloads and len(refs) == len(ingests) and all(map(is_download, refs)):
            ingests = []
        return not (self.blobs() or self.snapshots() or ingests or self.store.all())


def on_layer(_diff_id: str, _size: int) -> OnRead:
    """Report no progress."""
    return ignore_progress


class Users:
    """Containers, as far as images know them: (container id, is running) by image."""

    def __init__(self) -> None:
        self.by_image: dict[str, list[tuple[str, bool]]] = {}

    def users_of(self, image_id: Digest) -> Sequence[tuple[str, bool]]:
        """Return who uses an image."""
        return self.by_image.get(image_id, [])


class ServiceLab(Lab):
    """A lab with the service of images on top; `pauses` are the waits between attempts."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.events = Events()
        self.users = Users()
        self.pauses: list[float] = []
        access = RegistryAccess(RegistryOptions(), retry=Retry(sleep=self._pause))
        self.service = Images(self.store, self.events, access, self.users)
        self.lines: list[dict[str, Any]] = []

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def emit(self, message: JsonMessage) -> None:
        """Keep a line of progress."""
        self.lines.append(message.to_json())

    def close(self) -> None:
        """Close what is open; the directory stays."""
        self.service.close()
        super().close()

    def states(self, layer: str) -> list[str]:
        """Return what was said about a layer, repetitions left out."""
        said = [line["status"] for line in self.lines if line.get("id") == layer]
        return [text for i, text in enumerate(said) if i == 0 or said[i - 1] != text]

    def texts(self) -> list[str]:
        """Return the lines that are about no layer."""
        return [line["status"] for line in self.lines if "id" not in line and "status" in line]

    async def happened(self) -> list[tuple[str, str]]:
        """Return (action, actor) of all events so far."""
        past = self.events.subscribe(since_ns=0, until_ns=time.time_ns())
        return [(event.action, event.actor) async for event in past]
