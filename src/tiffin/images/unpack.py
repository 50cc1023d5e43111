"""From layer blobs to snapshots: each layer is applied once, and named by its chain ID."""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import BinaryIO

from tiffin.content.store import ContentStore
from tiffin.errors import AlreadyExists, DataLoss, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.layers.apply import apply_layer
from tiffin.snapshots.snapshotter import Snapshotter
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import ChainId, DiffId, algorithm_of
from tiffin.state.images import ImageRecords

PREFIX = "unpack-"
"""Begins the key of every snapshot that is being filled here; such keys are garbage at a start."""

OnRead = Callable[[int], None]
"""Told how many bytes of the blob have been read so far."""


def ignore_progress(_position: int) -> None:
    """Report to nobody."""


class Unpacker:
    """Applies layers; two threads that want the same one share the work."""

    def __init__(
        self, content: ContentStore, snapshotter: Snapshotter, records: ImageRecords
    ) -> None:
        self._content = content
        self._snapshotter = snapshotter
        self._records = records
        self._lock = threading.Lock()
        self._busy: dict[str, tuple[threading.Lock, int]] = {}

    def has(self, chain_id: ChainId) -> bool:
        """Tell whether the layer is unpacked."""
        try:
            self._snapshotter.stat(chain_id)
        except NotFound:
            return False
        return True

    def image(self, image: Image) -> None:
        """Unpack every layer that is not; the caller holds a lease on them."""
        parent = ""
        layers = zip(image.layers, image.config.diff_ids, image.config.chain_ids(), strict=True)
        for descriptor, diff_id, chain_id in layers:
            self.layer(descriptor, diff_id, parent, chain_id)
            parent = chain_id

    def layer(
        self, descriptor: Descriptor, diff_id: DiffId, parent: str, chain_id: ChainId,
        on_read: OnRead = ignore_progress, blob: BinaryIO | None = None,
    ) -> bool:  # fmt: skip
        """Unpack one layer onto `parent`; return False if it was already.

        DataLoss if the bytes are not what `diff_id` says, InvalidArgument if they are no layer,
        NotFound if the blob is not here. Nothing is left of a failed attempt. `blob` is read, and
        closed, in place of the stored one where that is still being made durable.
        """
        with blob or nullcontext(), self._alone(chain_id):
            if self.has(chain_id):
                return False
            key = PREFIX + secrets.token_hex(16)
            self._snapshotter.prepare(key, parent)
            try:
                self._apply(descriptor, diff_id, key, on_read, blob)
                self._snapshotter.commit(chain_id, key)
            except BaseException as error:
                self._snapshotter.remove(key)
                if isinstance(error, AlreadyExists):
                    return False
                raise
            self._records.set_layer_size(chain_id, self._snapshotter.usage(chain_id).size)
            return True

    def _apply(
        self, descriptor: Descriptor, diff_id: DiffId, key: str, on_read: OnRead,
        given: BinaryIO | None,
    ) -> None:  # fmt: skip
        snapshotter = self._snapshotter
        with given or self._content.open(descriptor.digest) as blob:
            try:
                applied = apply_layer(
                    _Observed(blob, on_read),
                    snapshotter.mounts(key),
                    snapshotter.upper(key),
                    snapshotter.lowers(key),
                    algorithm_of(diff_id),
                )
            except InvalidArgument as error:
                raise InvalidArgument(
                    f"failed to register layer: {descriptor.digest}: {error.message}"
                ) from error
        if applied.diff_id != diff_id:
            raise DataLoss(
                f"layers from manifest don't match image configuration: {descriptor.digest} "
                f"unpacks to {applied.diff_id}, not {diff_id}"
            )

    @contextmanager
    def _alone(self, chain_id: str) -> Iterator[None]:
        with self._lock:
            lock, waiting = self._busy.get(chain_id, (threading.Lock(), 0))
            self._busy[chain_id] = (lock, waiting + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                lock, waiting = self._busy.pop(chain_id)
                if waiting > 1:
                    self._busy[chain_id] = (lock, waiting - 1)


def discard_leftovers(snapshotter: Snapshotter) -> None:
    """Remove what unpacking left behind when the daemon was killed."""
    for info in reversed(list(snapshotter.walk())):
        if info.name.startswith(PREFIX):
            with suppress(NotFound):
                snapshotter.remove(info.name)


class _Observed:
    """A blob that says how far it has been read."""

    def __init__(self, blob: BinaryIO, on_read: OnRead) -> None:
        self._blob = blob
        self._on_read = on_read
        self._position = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._blob.read(size)
        self._position += len(data)
        self._on_read(self._position)
        return data
