"""The snapshotter contract: stacked filesystem trees, described as mounts and never mounted here.

A *committed* snapshot is immutable and named (by chain ID for image layers). An *active* one is
writable and has a key (a container's id, or a temporary key while a layer is applied); `commit`
turns it into a committed one. A *view* is a read-only look at a committed snapshot.

Importing a layer: `prepare(key, parent)` → apply the tar onto its mounts → `commit(chain_id, key)`.
Running a container: `prepare(container_id, chain_id)` → give `mounts` to the runtime.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tiffin.spec.mount import Mount


class Kind(StrEnum):
    """The three kinds of snapshot."""

    ACTIVE = "active"
    VIEW = "view"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One snapshot; `parent` is "" for a base."""

    name: str
    parent: str
    kind: Kind
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """Disk use of one snapshot without its parents: `size` in bytes, hard links counted once."""

    size: int
    inodes: int


class Snapshotter(Protocol):
    """A tree of snapshots."""

    @property
    def name(self) -> str:
        """Driver name as `docker info` shows it."""

    def prepare(self, key: str, parent: str = "") -> tuple[Mount, ...]:
        """Create an active snapshot; AlreadyExists, NotFound (parent)."""

    def view(self, key: str, parent: str) -> tuple[Mount, ...]:
        """Create a read-only view; AlreadyExists, NotFound (parent)."""

    def commit(self, name: str, key: str) -> None:
        """Make the active snapshot `key` immutable under `name`; AlreadyExists keeps `key`."""

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return the mounts of an active snapshot or view; NotFound."""

    def upper(self, key: str) -> Path | None:
        """Return the directory that holds only this snapshot's own changes, in overlayfs form.

        Whiteouts are 0:0 character devices, opaque directories carry the xattr
        `trusted.overlay.opaque`. None if the implementation cannot tell its changes apart.
        """

    def lowers(self, key: str) -> tuple[Path, ...]:
        """Return the trees that this snapshot lies on, top first; () for a base. NotFound."""

    def remove(self, key: str) -> None:
        """Remove a snapshot of any kind; Conflict while it has children, NotFound."""

    def stat(self, key: str) -> SnapshotInfo:
        """Describe one snapshot; NotFound."""

    def usage(self, key: str) -> Usage:
        """Measure one snapshot; NotFound."""

    def walk(self) -> Iterator[SnapshotInfo]:
        """Yield every snapshot, parents before children."""

    def recover(self, known_keys: Collection[str] | None = None) -> list[str]:
        """Clean up after a crash; return the names of the snapshots that had to be dropped.

        Active snapshots and views whose key is not in `known_keys`, if that is given, are dropped.
        So are committed ones whose data did not survive: their layers must be applied again. What
        lies above those stays, and can be used once they are back under the same name.
        """
