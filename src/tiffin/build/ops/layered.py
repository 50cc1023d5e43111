"""What operations share: deriving results, and making a layer from a writable snapshot."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tiffin.build.graph import Layer, Outcome, Result
from tiffin.build.key import Key
from tiffin.build.layer import commit_layer
from tiffin.build.tree import SNAPSHOT_PREFIX, EmptyTree, SnapshotTree
from tiffin.build.worker import Worker
from tiffin.errors import NotFound
from tiffin.fs.rooted import Root
from tiffin.images.image import Image
from tiffin.linux.mounts import detached
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.descriptor import OCI_LAYER, Descriptor
from tiffin.spec.ids import new_id
from tiffin.spec.image import History, ImageConfig
from tiffin.spec.mount import Mount

COMMENT = "buildkit.dockerfile.v0"
"""History's mark that tools know these entries by."""


def next_result(
    base: Result, outcome: Outcome, key: Key, worker: Worker, *,
    config: ContainerConfig, history: History, hit: bool,
) -> Result:  # fmt: skip
    """Return the point after a step on `base`, with one more history entry."""
    layer = outcome.layer
    entry = replace(history, comment=history.comment or COMMENT, empty_layer=layer is None)
    image = replace(base.config, config=config, created=history.created)
    if history.author:
        image = replace(image, author=history.author)
    if layer is None:
        image = replace(image, history=(*image.history, entry))
        return replace(base, key=key, config=image, image=None, from_cache=hit)
    return Result(
        key, image.append_layer(layer.diff_id, entry), layer.chain_id,
        SnapshotTree(worker.snapshotter, layer.chain_id),
        (*base.layers, outcome.blob or Descriptor(OCI_LAYER, layer.diff_id, layer.size)), from_cache=hit,
    )  # fmt: skip


def first_result(
    config: ImageConfig, chain_id: str, key: Key, worker: Worker, image: Image | None = None
) -> Result:
    """Return the point that a stage starts from."""
    tree = (SnapshotTree(worker.snapshotter, chain_id) if chain_id
            else EmptyTree(worker.scratch / "empty"))  # fmt: skip
    layers = image.layers if image else ()
    return Result(key, config, chain_id, tree, layers, image)


@dataclass(slots=True)
class Draft:
    """A writable snapshot on its way to become a layer."""

    key: str
    parent: str
    mounts: tuple[Mount, ...]
    worker: Worker
    made: list[Layer] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator[Root]:
        """Open its root for writing; the mount is attached nowhere."""
        with Root(detached(self.mounts)) as root:
            yield root

    @property
    def upper(self) -> Path | None:
        """The directory with its own changes, if there is one."""
        return self.worker.snapshotter.upper(self.key)

    def commit(self) -> Outcome:
        """Make it a layer; an outcome without one if nothing changed."""
        layer = commit_layer(self.worker, self.key, self.parent)
        return Outcome(layer)


@contextmanager
def draft(worker: Worker, parent: str) -> Iterator[Draft]:
    """Prepare a writable snapshot on `parent`; whatever is not committed is removed."""
    key = SNAPSHOT_PREFIX + new_id()
    mounts = worker.snapshotter.prepare(key, parent)
    try:
        yield Draft(key, parent, mounts, worker)
    finally:
        with suppress(NotFound):
            worker.snapshotter.remove(key)


def base_part(inputs: Sequence[Result]) -> tuple[str, str]:
    """Return the key part that stands for the step before."""
    return ("parent step", inputs[0].key.digest)
