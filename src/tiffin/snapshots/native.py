"""Snapshots as whole copies: works on any file system, shares blocks only where that can."""

from pathlib import Path

from tiffin.fs.copy import TreeCopy
from tiffin.fs.rooted import Root, remove_tree
from tiffin.snapshots.directories import SnapshotDirectories
from tiffin.snapshots.snapshotter import Kind
from tiffin.spec.mount import Mount


class NativeSnapshotter(SnapshotDirectories):
    """A snapshotter below `root`; see `snapshots.snapshotter.Snapshotter`."""

    @property
    def name(self) -> str:
        """Driver name as Docker calls it."""
        return "vfs"

    def prepare(self, key: str, parent: str = "") -> tuple[Mount, ...]:
        """Create an active snapshot; AlreadyExists, NotFound (parent)."""
        self._catalogue.check_free(key)
        parents = self._parents(parent)
        directory = self._fresh()
        try:
            (directory / "fs").mkdir(0o755)
            if parents:
                with Root.at(parents[0]) as source, Root.at(directory / "fs") as target:
                    TreeCopy(source, target).copy("", "")
        except BaseException:
            remove_tree(directory)
            raise
        self._add(key, parent, Kind.ACTIVE, directory)
        return _bind(directory / "fs", "rw")

    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Create a read-only view; AlreadyExists, NotFound (parent)."""
        self._catalogue.check_free(key)
        tree = self._parents(self._catalogue.get(parent).name)[0]
        self._add(key, parent, Kind.VIEW, self._fresh())
        return _bind(tree, "ro")

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return the mounts of an active snapshot or view; NotFound."""
        record = self._active(key)
        if record.kind is Kind.VIEW:
            return _bind(self._parents(record.parent)[0], "ro")
        return _bind(self._directory(record) / "fs", "rw")

    def upper(self, key: str) -> Path | None:
        """Return None: a copy does not tell its changes apart. NotFound."""
        self._catalogue.get(key)
        return None

    def lowers(self, key: str) -> tuple[Path, ...]:
        """Return the tree that this snapshot was copied from, if any; NotFound."""
        return tuple(self._parents(self._catalogue.get(key).parent)[:1])


def _bind(tree: Path, access: str) -> tuple[Mount, ...]:
    return (Mount("bind", str(tree), ("rbind", access)),)
