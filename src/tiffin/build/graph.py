"""The build graph: vertices of operations, and the results that flow between them.

A *vertex* is an operation with its inputs. Its *result* is what an image of that point would be: a
config and the chain ID of its top layer. Vertices are made by `plan`, walked by `solver`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tiffin.build.key import Key
from tiffin.fs.rooted import Root
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import Digest
from tiffin.spec.image import ImageConfig

if TYPE_CHECKING:
    from tiffin.build.worker import Worker
    from tiffin.images.image import Image


class Tree(Protocol):
    """A file tree that can be read: a build context or the root of a stage or image."""

    @property
    def identity(self) -> str:
        """Name of immutable content, to remember digests by; "" if it is not known."""

    def open(self) -> AbstractContextManager[Root]:
        """Open it for reading."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that an operation made; `size` is its blob's in bytes."""

    diff_id: Digest
    chain_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What running an operation gave: a layer, or None if no file changed."""

    layer: Layer | None = None
    blob: Descriptor | None = None
    """The layer's blob, if it is not the plain archive that the builder itself makes."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a vertex stands for once it is solved."""

    key: Key
    config: ImageConfig
    chain_id: str
    tree: Tree
    layers: tuple[Descriptor, ...] = ()
    image: "Image | None" = None
    """The image itself, if nothing was changed since FROM."""
    from_cache: bool = False


class Op(Protocol):
    """One operation. Everything that decides its outcome is in its key."""

    @property
    def caches(self) -> bool:
        """Whether outcomes are worth keeping; sources answer at once and are not."""

    @property
    def told_by_history(self) -> str:
        """What an image's history says of this very outcome; "" if it cannot tell."""

    def cache_key(self, inputs: Sequence[Result], worker: "Worker") -> Key:
        """Return the key, from the inputs' keys and the content that is read."""

    def run(self, inputs: Sequence[Result], worker: "Worker", vertex: "Vertex") -> Outcome:
        """Do it; TiffinError."""

    def result(
        self, inputs: Sequence[Result], outcome: Outcome, key: Key, created: str,
        worker: "Worker", *, hit: bool,
    ) -> Result:  # fmt: skip
        """Describe the point after it; `created` is RFC 3339."""


@dataclass(frozen=True, slots=True)
class Step:
    """How a vertex shows in the log: `Step 2/5 : RUN make`; triggers have no number."""

    number: int
    text: str


@dataclass(eq=False, slots=True)
class Vertex:
    """A node; identity counts. `order` is its place in the log."""

    op: Op
    inputs: tuple["Vertex", ...] = ()
    order: int = 0
    step: Step | None = None
    name: str = ""
    notices: tuple[str, ...] = field(default=())
    """Lines for the log that precede it."""
