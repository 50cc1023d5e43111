"""Snapshots as overlayfs layers: each keeps only its own changes, and mounts stack them.

Source: Documentation/filesystems/overlayfs.rst. `index`, `redirect_dir` and `metacopy` are switched
off where the kernel knows them: each would put things into an upper directory that only overlayfs
understands, while ours becomes a layer archive.
"""

import os
from functools import cached_property
from pathlib import Path

from tiffin.snapshots.directories import SnapshotDirectories
from tiffin.snapshots.snapshotter import Kind
from tiffin.spec.mount import Mount

_PARAMETERS = Path("/sys/module/overlay/parameters")


class OverlaySnapshotter(SnapshotDirectories):
    """A snapshotter below `root`; see `snapshots.snapshotter.Snapshotter`."""

    @property
    def name(self) -> str:
        """Driver name as Docker calls it."""
        return "overlay2"

    def prepare(self, key: str, parent: str = "") -> tuple[Mount, ...]:
        """Create an active snapshot; AlreadyExists, NotFound (parent)."""
        self._catalogue.check_free(key)
        parents = self._parents(parent)
        directory = self._fresh()
        upper = directory / "fs"
        upper.mkdir(0o755)
        (directory / "work").mkdir(0o711)
        if parents:
            # The upper directory's own owner and mode are what a container sees as those of `/`.
            top = parents[0].stat()
            os.chown(upper, top.st_uid, top.st_gid)
            upper.chmod(top.st_mode & 0o7777)
        self._add(key, parent, Kind.ACTIVE, directory)
        return self._writable(directory, parents)

    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Create a read-only view; AlreadyExists, NotFound (parent)."""
        self._catalogue.check_free(key)
        parents = self._parents(self._catalogue.get(parent).name)
        self._add(key, parent, Kind.VIEW, self._fresh())
        return self._read_only(parents)

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return the mounts of an active snapshot or view; NotFound."""
        record = self._active(key)
        parents = self._parents(record.parent)
        if record.kind is Kind.VIEW:
            return self._read_only(parents)
        return self._writable(self._directory(record), parents)

    def upper(self, key: str) -> Path | None:
        """Return the directory of this snapshot's own changes, in overlayfs form; NotFound.

        None for a view, which has none.
        """
        record = self._catalogue.get(key)
        return None if record.kind is Kind.VIEW else self._directory(record) / "fs"

    def lowers(self, key: str) -> tuple[Path, ...]:
        """Return the directories below this snapshot's own, top first; NotFound."""
        return tuple(self._parents(self._catalogue.get(key).parent))

    def _writable(self, directory: Path, parents: list[Path]) -> tuple[Mount, ...]:
        if not parents:
            return (Mount("bind", str(directory / "fs"), ("rbind", "rw")),)
        options = (
            *self._switches,
            _lowerdir(parents),
            f"upperdir={directory / 'fs'}",
            f"workdir={directory / 'work'}",
        )
        return (Mount("overlay", "overlay", options),)

    def _read_only(self, parents: list[Path]) -> tuple[Mount, ...]:
        if len(parents) == 1:
            return (Mount("bind", str(parents[0]), ("rbind", "ro")),)
        return (Mount("overlay", "overlay", (*self._switches, "ro", _lowerdir(parents))),)

    @cached_property
    def _switches(self) -> tuple[str, ...]:
        return tuple(
            f"{name}=off"
            for name in ("index", "metacopy", "redirect_dir")
            if (_PARAMETERS / name).exists()
        )


def _lowerdir(parents: list[Path]) -> str:
    escaped = (str(each).replace("\\", "\\\\").replace(":", "\\:") for each in parents)
    return "lowerdir=" + ":".join(escaped)
