"""What of the content and the snapshots is still needed, and the removal of what is not.

While the engine runs, only what is *named* as possible garbage (by a removed image or an ended
lease) is looked at: content that appears meanwhile is never in danger. A whole sweep happens at a
start, when nothing else is going on.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from tiffin.content.store import ContentStore
from tiffin.errors import Conflict, DataLoss, InvalidArgument, NotFound
from tiffin.images.lease import Lease, Leases
from tiffin.images.manifests import children
from tiffin.snapshots.snapshotter import Kind, Snapshotter
from tiffin.spec.descriptor import OCI_MANIFEST, Descriptor
from tiffin.spec.digest import ChainId, DiffId, Digest, chain_ids
from tiffin.spec.image import ImageConfig
from tiffin.state.images import ImageRecord, ImageRecords

log = logging.getLogger(__name__)

Roots = Callable[[], Iterable[str]]
"""Names (digests of blobs, names of snapshots) that somebody needs, such as the build cache."""


@dataclass(frozen=True, slots=True)
class Removed:
    """What a collection removed; `size` in bytes, of blobs and snapshots together."""

    blobs: tuple[Digest, ...] = ()
    snapshots: tuple[ChainId, ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Reach:
    """Names of what images consist of, and of what only retired ones still do."""

    blobs: frozenset[str]
    snapshots: frozenset[str]
    retired_blobs: frozenset[str]
    retired_snapshots: frozenset[str]


class Garbage:
    """The collector. `config_of` reads the config of an image that exists."""

    def __init__(
        self,
        content: ContentStore,
        snapshotter: Snapshotter,
        records: ImageRecords,
        config_of: Callable[[Digest], ImageConfig],
        leases: Leases,
    ) -> None:
        self._content = content
        self._snapshotter = snapshotter
        self._records = records
        self._config_of = config_of
        self._leases = leases
        self._children: dict[Digest, tuple[Descriptor, ...]] = {}
        self._deferred: set[str] = set()
        self._roots: list[Roots] = []
        self.lock = threading.RLock()

    def add_roots(self, roots: Roots) -> None:
        """Let somebody else keep things too; asked at every collection."""
        self._roots.append(roots)

    def collect(self, suspects: Iterable[str]) -> Removed:
        """Remove those of `suspects` (and of earlier ones still in use then) that are garbage."""
        with self.lock:
            names = set(suspects) | self._deferred
            rooted = set[str]().union(*(roots() for roots in self._roots)) if names else set[str]()
            self._deferred = names & rooted
            names -= rooted
            if not names:  # what images reach is worked out only for something to compare it with
                return Removed()
            try:
                blobs, snapshots = self._reachable()
            except DataLoss as error:
                # While an image cannot be read, nobody can tell what it needs.
                log.warning("nothing is collected: %s", error)
                self._deferred |= names
                return Removed()
            self._keep_retired(blobs, snapshots)
            return self._remove(names - blobs, names - snapshots)

    def suspect(self, descriptor: Descriptor) -> None:
        """Look at a manifest or index, and all below it, at the next collection."""
        with self.lock:
            self._mark(descriptor, self._deferred)

    def reach(self) -> Reach:
        """Tell what belongs to images; DataLoss if one cannot be read."""
        with self.lock:
            blobs, snapshots = self._reachable()
            all_blobs, all_snapshots = set(blobs), set(snapshots)
            self._keep_retired(all_blobs, all_snapshots)
        return Reach(
            frozenset(blobs), frozenset(snapshots), frozenset(all_blobs - blobs),
            frozenset(all_snapshots - snapshots),
        )  # fmt: skip

    def would_remove(self, suspects: Iterable[str], without: Collection[Digest]) -> Removed:
        """Tell what of `suspects` would go if these images did, and nothing were retired."""
        with self.lock:
            try:
                blobs, snapshots = self._reachable(without)
            except DataLoss:
                return Removed()
            names = set(suspects).difference(*(roots() for roots in self._roots))
            gone_blobs = [Digest(name) for name in sorted(names - blobs) if self._blob_size(name)]
            gone_snapshots = self._top_down(names - snapshots)
        sizes = [self._blob_size(name) for name in gone_blobs]
        sizes += [self._records.layer_size(Digest(name)) or 0 for name in gone_snapshots]
        return Removed(tuple(gone_blobs), tuple(map(Digest, gone_snapshots)), sum(sizes))

    def drop(self, manifest: Digest, lease: Lease | None = None) -> bool:
        """Delete a manifest out of an index that is kept, so that what it names can be collected.

        Return False if somebody holds it, except by `lease`.
        """
        with self.lock, self._leases.deleting(manifest, besides=lease) as allowed:
            if not allowed:
                return False
            self._mark(Descriptor(OCI_MANIFEST, manifest, 0), self._deferred)
            self._children.pop(manifest, None)
            with suppress(NotFound):
                self._content.delete(manifest)
            return True

    def sweep(self) -> Removed:
        """Remove all garbage there is; only when nothing else is under way."""
        with self.lock:
            names: set[str] = {info.digest for info in self._content.walk()}
            committed = (i.name for i in self._snapshotter.walk() if i.kind is Kind.COMMITTED)
            return self.collect(names.union(committed))

    def _reachable(self, without: Collection[Digest] = ()) -> tuple[set[str], set[str]]:
        blobs: set[str] = set()
        snapshots: set[str] = set()
        compressed = self._records.all_compressed()
        for record in self._records.all():
            if record.id not in without:
                self._mark_image(record, compressed, blobs, snapshots)
        for reference in self._records.all_references():
            if reference.image_id not in without:
                self._mark(reference.target, blobs)
        return blobs, snapshots

    def _keep_retired(self, blobs: set[str], snapshots: set[str]) -> None:
        images, references = self._records.retired()
        compressed = self._records.all_compressed() if images else {}
        for record in images:
            # What a crash has taken parts of can be dropped, not restored.
            with suppress(NotFound, InvalidArgument, DataLoss):
                self._mark_image(record, compressed, blobs, snapshots)
        for reference in references:
            self._mark(reference.target, blobs)

    def _mark_image(
        self,
        record: ImageRecord,
        compressed: Mapping[DiffId, Descriptor],
        blobs: set[str],
        snapshots: set[str],
    ) -> None:
        self._mark(record.manifest, blobs)
        diff_ids = self._config_of(record.id).diff_ids
        snapshots.update(chain_ids(diff_ids))
        blobs.update(compressed[d].digest for d in diff_ids if d in compressed)

    def _blob_size(self, name: str) -> int:
        try:
            return self._content.info(Digest(name)).size
        except NotFound:
            return 0

    def _mark(self, descriptor: Descriptor, marked: set[str]) -> None:
        pending = [descriptor]
        while pending:
            each = pending.pop()
            if each.digest not in marked:
                marked.add(each.digest)
                pending += self._below(each)

    def _below(self, descriptor: Descriptor) -> tuple[Descriptor, ...]:
        found = self._children.get(descriptor.digest)
        if found is None:
            try:
                found = children(self._content, descriptor)
            except InvalidArgument:
                # Part of an index, for all we know of another kind than it says: it names nothing.
                found = ()
            if found:
                self._children[descriptor.digest] = found
        return found

    def _remove(self, blobs: set[str], snapshots: set[str]) -> Removed:
        size = 0
        gone_blobs: list[Digest] = []
        for name in sorted(blobs):
            digest = Digest(name)
            with self._leases.deleting(name) as allowed, suppress(NotFound):
                if not allowed:
                    self._deferred.add(name)
                    continue
                freed = self._content.info(digest).size
                self._content.delete(digest)
                self._children.pop(digest, None)
                gone_blobs.append(digest)
                size += freed
        gone_snapshots: list[ChainId] = []
        for name in self._top_down(snapshots):
            freed = self._records.layer_size(Digest(name)) or 0
            if self._remove_snapshot(name):
                gone_snapshots.append(Digest(name))
                size += freed
            else:
                self._deferred.add(name)
        self._records.forget_content(gone_blobs, gone_snapshots)
        return Removed(tuple(gone_blobs), tuple(gone_snapshots), size)

    def _remove_snapshot(self, name: str) -> bool:
        """Remove a snapshot unless a lease holds it, or a container or build lies on it."""
        with self._leases.deleting(name) as allowed:
            if not allowed:
                return False
            try:
                self._snapshotter.remove(name)
            except Conflict:
                return False
            return True

    def _top_down(self, names: set[str]) -> list[str]:
        """Return those that are snapshots, children before parents."""
        if not names:
            return []
        found = [
            info.name
            for info in self._snapshotter.walk()
            if info.name in names and info.kind is Kind.COMMITTED
        ]
        return found[::-1]
