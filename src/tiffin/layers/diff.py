"""Making a layer: from the changes of a snapshot to a deterministic tar stream."""

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tiffin.fs import xattrs
from tiffin.fs.rooted import Root
from tiffin.fs.tar import TarWriter
from tiffin.layers import whiteouts
from tiffin.layers.compression import Sink
from tiffin.layers.describe import TreeWriter, join
from tiffin.spec.mount import Mount

_DEFAULT_ROOT = (stat.S_IFDIR | 0o755, 0, 0)


def write_layer(
    sink: Sink, mounts: Sequence[Mount], upper: Path | None = None, lowers: Sequence[Path] = ()
) -> int:
    """Write the changes of a snapshot as an uncompressed layer; return the number of entries.

    `mounts`, `upper` and `lowers` are what the snapshotter answers for it. The digest of what is
    written is the layer's diff ID. OSError.
    """
    if upper is not None:
        return write_upper(sink, upper, lowers)
    if len(mounts) != 1 or mounts[0].fstype != "bind":
        raise ValueError("a snapshot without an upper directory must be one bind mount")
    return write_difference(sink, Path(mounts[0].source), lowers[0] if lowers else None)


def write_upper(sink: Sink, upper: Path, lowers: Sequence[Path] = ()) -> int:
    """Write an overlayfs upper directory as a layer; return the number of entries. OSError."""
    with ExitStack() as scope:
        root = scope.enter_context(Root.at(upper))
        writer = TarWriter(sink)
        tree = TreeWriter(root, writer)
        _write_root(tree, root, scope.enter_context(Root.at(lowers[0])) if lowers else None)
        pending = _children(root, "")
        while pending:
            path = pending.pop()
            status = root.stat(path)
            if whiteouts.is_whiteout(status):
                tree.add_empty(_whiteout(path))
                continue
            tree.add(path, path, status)
            if stat.S_ISDIR(status.st_mode):
                if xattrs.is_opaque(xattrs.at(*root.locate(path))):
                    tree.add_empty(join(path, whiteouts.OPAQUE))
                pending.extend(_children(root, path))
        writer.finish()
        return tree.entries


def write_difference(sink: Sink, new: Path, old: Path | None) -> int:
    """Write what differs in the tree `new` from `old` as a layer; return the number of entries.

    Files of equal kind, owner, mode, length, time and attributes count as equal. OSError.
    """
    with ExitStack() as scope:
        root = scope.enter_context(Root.at(new))
        before = scope.enter_context(Root.at(old)) if old is not None else None
        writer = TarWriter(sink)
        tree = TreeWriter(root, writer)
        _write_root(tree, root, before)
        _Difference(tree, root, before).write()
        writer.finish()
        return tree.entries


class _Difference:
    def __init__(self, tree: TreeWriter, new: Root, old: Root | None) -> None:
        self._tree = tree
        self._new = new
        self._old = old

    def write(self) -> None:
        found = list(self._compare())
        # The names of one file travel together, or they would come back as files of their own.
        linked = {
            (status.st_dev, status.st_ino)
            for _, status, changed in found
            if status is not None
            and changed
            and status.st_nlink > 1
            and not stat.S_ISDIR(status.st_mode)
        }
        for path, status, changed in found:
            if status is None:
                self._tree.add_empty(_whiteout(path))
            elif changed or (status.st_dev, status.st_ino) in linked:
                self._tree.add(path, path, status)

    def _compare(self) -> Iterator[tuple[str, os.stat_result | None, bool]]:
        """Yield path, status (None if it is gone) and whether it is new or changed, in order."""
        pending = self._pairs("", has_old=self._old is not None)
        while pending:
            path, in_new, in_old = pending.pop()
            if not in_new:
                yield path, None, True
                continue
            status = self._new.stat(path)
            was_directory = False
            changed = True
            if in_old and self._old is not None:
                before = self._old.stat(path)
                was_directory = stat.S_ISDIR(before.st_mode)
                changed = not same(self._new, path, status, self._old, before)
            is_directory = stat.S_ISDIR(status.st_mode)
            yield path, status, changed
            if is_directory:
                pending.extend(self._pairs(path, has_old=was_directory))

    def _pairs(self, path: str, *, has_old: bool) -> list[tuple[str, bool, bool]]:
        new = set(self._new.listdir(path))
        old = set(self._old.listdir(path)) if has_old and self._old is not None else set()
        return [
            (join(path, name), name in new, name in old) for name in sorted(new | old, reverse=True)
        ]


def same(new: Root, path: str, status: os.stat_result, old: Root, before: os.stat_result) -> bool:
    """Tell whether an object is unchanged, by everything but its data and its children."""
    if (status.st_mode, status.st_uid, status.st_gid, status.st_rdev) != (
        before.st_mode, before.st_uid, before.st_gid, before.st_rdev,
    ):  # fmt: skip
        return False
    if not stat.S_ISDIR(status.st_mode) and (
        (status.st_size, status.st_mtime_ns, status.st_nlink)
        != (before.st_size, before.st_mtime_ns, before.st_nlink)
    ):
        return False
    if stat.S_ISLNK(status.st_mode) and new.readlink(path) != old.readlink(path):
        return False
    return xattrs.read(xattrs.at(*new.locate(path))) == xattrs.read(xattrs.at(*old.locate(path)))


def _write_root(tree: TreeWriter, root: Root, below: Root | None) -> None:
    """Write an entry for the root directory itself only if the layer changes it."""
    status = root.stat("")
    wanted = (status.st_mode, status.st_uid, status.st_gid)
    base = below.stat("") if below is not None else None
    known = (base.st_mode, base.st_uid, base.st_gid) if base is not None else _DEFAULT_ROOT
    if wanted != known:
        tree.add("", "./", status)


def _children(root: Root, path: str) -> list[str]:
    return [join(path, name) for name in reversed(root.listdir(path))]


def _whiteout(path: str) -> str:
    parent, _, name = path.rpartition("/")
    return join(parent, whiteouts.PREFIX + name)
