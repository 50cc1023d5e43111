"""Where stages and copies start: images, scratch, other stages, the build context."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tiffin.build.graph import Outcome, Result, Tree, Vertex
from tiffin.build.key import Key
from tiffin.build.ops.layered import first_result
from tiffin.build.worker import Worker
from tiffin.images.image import Image
from tiffin.spec.image import ImageConfig


@dataclass(frozen=True, slots=True)
class ImageOp:
    """An image that is here and unpacked; its ID is its content."""

    image: Image
    caches = False
    told_by_history = ""

    def cache_key(self, _inputs: Sequence[Result], _worker: Worker) -> Key:
        """Return the key: the image's ID."""
        return Key.of([("base image", self.image.id)])

    def run(self, _inputs: Sequence[Result], _worker: Worker, _vertex: Vertex) -> Outcome:
        """Do nothing."""
        return Outcome()

    def result(
        self, _inputs: Sequence[Result], _outcome: Outcome, key: Key, _created: str,
        worker: Worker, *, hit: bool,
    ) -> Result:  # fmt: skip
        """Return the image as it is."""
        del hit
        image = self.image
        return first_result(image.config, image.chain_id, key, worker, image)


@dataclass(frozen=True, slots=True)
class ScratchOp:
    """No files at all; `config` is what a stage from scratch starts with."""

    config: ImageConfig
    caches = False
    told_by_history = ""

    def cache_key(self, _inputs: Sequence[Result], _worker: Worker) -> Key:
        """Return the key: nothing but the platform."""
        return Key.of([("base image", "scratch"), ("platform", str(self.config.platform))])

    def run(self, _inputs: Sequence[Result], _worker: Worker, _vertex: Vertex) -> Outcome:
        """Do nothing."""
        return Outcome()

    def result(
        self, _inputs: Sequence[Result], _outcome: Outcome, key: Key, _created: str,
        worker: Worker, *, hit: bool,
    ) -> Result:  # fmt: skip
        """Return an image without layers."""
        del hit
        return first_result(self.config, "", key, worker)


@dataclass(frozen=True, slots=True)
class StageOp:
    """Another stage of the same file, gone on with by `FROM name`."""

    caches = False
    told_by_history = ""

    def cache_key(self, inputs: Sequence[Result], _worker: Worker) -> Key:
        """Return the stage's own key."""
        return inputs[0].key

    def run(self, _inputs: Sequence[Result], _worker: Worker, _vertex: Vertex) -> Outcome:
        """Do nothing."""
        return Outcome()

    def result(
        self, inputs: Sequence[Result], _outcome: Outcome, _key: Key, _created: str,
        _worker: Worker, *, hit: bool,
    ) -> Result:  # fmt: skip
        """Return the stage's result."""
        del hit
        return replace(inputs[0], from_cache=False)


@dataclass(frozen=True, slots=True)
class ContextOp:
    """The build context, unpacked; its files are looked at by those who copy them."""

    tree: Tree
    caches = False
    told_by_history = ""

    def cache_key(self, _inputs: Sequence[Result], _worker: Worker) -> Key:
        """Return the same key for every context."""
        return Key.of([("context", "")])

    def run(self, _inputs: Sequence[Result], _worker: Worker, _vertex: Vertex) -> Outcome:
        """Do nothing."""
        return Outcome()

    def result(
        self, _inputs: Sequence[Result], _outcome: Outcome, key: Key, _created: str,
        _worker: Worker, *, hit: bool,
    ) -> Result:  # fmt: skip
        """Return the tree of files."""
        del hit
        return Result(key, ImageConfig(), "", self.tree)
