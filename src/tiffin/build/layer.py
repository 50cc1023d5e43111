"""From a writable snapshot to a layer: a tar blob in the content store and a committed snapshot."""

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from tiffin.build.graph import Layer
from tiffin.build.worker import Worker
from tiffin.content.store import ContentStore, IngestWriter
from tiffin.errors import AlreadyExists
from tiffin.images.lease import Lease
from tiffin.images.write import abandoned
from tiffin.layers.diff import write_layer
from tiffin.snapshots.snapshotter import Snapshotter
from tiffin.spec.digest import Digest, chain_ids, digest_bytes


def commit_layer(worker: Worker, key: str, parent: str) -> Layer | None:
    """Turn the active snapshot `key` on the chain `parent` into a layer; None if nothing changed.

    The snapshot stays active if it changed nothing, or if the same layer exists already.
    """
    upper = worker.snapshotter.upper(key)
    if worker.epoch is not None and upper is not None:
        clamp_times(upper, worker.epoch)
    layer = store_layer(worker.content, worker.snapshotter, worker.lease, key, parent)
    if layer is not None:
        with suppress(AlreadyExists):
            worker.snapshotter.commit(layer.chain_id, key)
    return layer


def store_layer(
    content: ContentStore, snapshotter: Snapshotter, lease: Lease, key: str, parent: str,
    *, keep_empty: bool = False,
) -> Layer | None:  # fmt: skip
    """Write the changes of the snapshot `key` as a blob; the snapshot itself is left alone.

    The layer is held by `lease`. None if nothing changed, unless `keep_empty`.
    """
    with content.writer(f"layer-{key}") as writer, abandoned(writer):
        sink = _HashingSink(writer)
        entries = write_layer(sink, snapshotter.mounts(key), snapshotter.upper(key),
                              snapshotter.lowers(key))  # fmt: skip
        if not entries and not keep_empty:
            writer.abort()
            return None
        diff_id = sink.digest
        chain_id = chain_id_on(parent, diff_id)
        lease.hold(diff_id, chain_id)
        try:
            writer.commit(expected=diff_id, size=sink.size)
        except AlreadyExists:
            writer.abort()
    return Layer(diff_id, chain_id, sink.size)


def chain_id_on(parent: str, diff_id: Digest) -> str:
    """Return the chain ID of a layer on the chain `parent` ("" for none)."""
    if not parent:
        return chain_ids([diff_id])[0]
    return digest_bytes(f"{parent} {diff_id}".encode())


def clamp_times(upper: Path, epoch: int) -> None:
    """Make nothing in a snapshot's own directory younger than `epoch`, Unix seconds."""
    limit = epoch * 10**9
    for _, directories, files, fd in os.fwalk(upper, topdown=False):
        for name in (*directories, *files):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if status.st_mtime_ns > limit:
                os.utime(name, ns=(limit, limit), dir_fd=fd, follow_symlinks=False)
    os.utime(upper, ns=(limit, limit))


class _HashingSink:
    def __init__(self, writer: IngestWriter) -> None:
        self._writer = writer
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes | memoryview, /) -> int:
        self._hash.update(data)
        self.size += len(data)
        return self._writer.write(data)

    @property
    def digest(self) -> Digest:
        return Digest(f"sha256:{self._hash.hexdigest()}")
