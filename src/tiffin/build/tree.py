"""File trees that operations read, and walks through them."""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tiffin.errors import NotFound
from tiffin.fs.rooted import Root
from tiffin.linux.mounts import detached
from tiffin.snapshots.snapshotter import Snapshotter
from tiffin.spec.ids import new_id

SNAPSHOT_PREFIX = "build-"
"""Marks the builder's temporary snapshots, so that a later start finds the ones left over."""


@dataclass(frozen=True, slots=True)
class DirectoryTree:
    """A directory of our own, such as an unpacked context."""

    path: Path
    identity: str = ""

    @contextmanager
    def open(self) -> Iterator[Root]:
        """Open it."""
        with Root.at(self.path) as root:
            yield root


@dataclass(frozen=True, slots=True)
class SnapshotTree:
    """The root file system of a stage or image; its chain ID is its identity."""

    snapshotter: Snapshotter
    identity: str

    @contextmanager
    def open(self) -> Iterator[Root]:
        """Mount a view of it that is attached nowhere."""
        key = SNAPSHOT_PREFIX + new_id()
        mounts = self.snapshotter.view(key, self.identity)
        try:
            with Root(detached(mounts)) as root:
                yield root
        finally:
            with suppress(NotFound):
                self.snapshotter.remove(key)


@dataclass(frozen=True, slots=True)
class EmptyTree:
    """The root of `FROM scratch`; `place` is any empty directory."""

    place: Path
    identity: str = ""

    @contextmanager
    def open(self) -> Iterator[Root]:
        """Open it."""
        self.place.mkdir(mode=0o755, exist_ok=True)
        with Root.at(self.place) as root:
            yield root


@dataclass(frozen=True, slots=True)
class Node:
    """One file of a walk. `path` starts at the root, `relative` at the top of the walk ("")."""

    path: str
    relative: str
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)


Accepts = Callable[[str, bool], bool]
"""Takes the path from the root and whether it is a directory."""


def accept_all(_path: str, _is_directory: bool) -> bool:
    """Leave nothing out."""
    return True


def walk(root: Root, top: str, accepts: Accepts = accept_all) -> Iterator[Node]:
    """Yield `top` and everything below, parents first, names in order; links are not followed."""
    stack = [(top, "")]
    while stack:
        path, relative = stack.pop()
        status = root.stat(path)
        node = Node(path, relative, status)
        if relative and not accepts(path, node.is_directory):
            continue
        yield node
        if node.is_directory:
            prefix, below = (f"{path}/" if path else ""), (f"{relative}/" if relative else "")
            names = reversed(root.listdir(path))
            stack.extend((prefix + name, below + name) for name in names)
