"""Applying a layer: from a tar stream to the files of a snapshot.

Two forms. OVERLAY writes an overlayfs upper directory without mounting it: whiteouts become 0:0
devices and opaque directories get their attribute. PLAIN writes the merged tree itself: whiteouts
delete. Either way the result is what the layer means on top of what lies below, whatever the order
of entries: a whiteout never touches what its own layer brings.

Nothing outside the root is ever touched; see `fs.rooted`.
"""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tiffin.fs import xattrs
from tiffin.fs.copy import TreeCopy
from tiffin.fs.rooted import Root, clean
from tiffin.fs.tar import Entry, EntryKind, TarReader
from tiffin.layers import whiteouts
from tiffin.layers.bounds import bounded
from tiffin.layers.compression import Source
from tiffin.layers.extract import Extractor, blame
from tiffin.layers.merged import MergedTree, hides_below
from tiffin.layers.readahead import ReadAhead
from tiffin.spec.digest import DiffId
from tiffin.spec.mount import Mount


class Form(Enum):
    """How deletions are written down."""

    OVERLAY = "overlay"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Applied:
    """What was applied: digest and length of the uncompressed tar, and attributes left out."""

    diff_id: DiffId
    size: int
    dropped_xattrs: frozenset[str] = frozenset()


def apply_layer(
    stream: Source,
    mounts: Sequence[Mount],
    upper: Path | None,
    lowers: Sequence[Path],
    algorithm: str = "sha256",
) -> Applied:
    """Apply a layer, compressed or not, to a snapshot that is not mounted.

    `mounts`, `upper` and `lowers` are what the snapshotter answers for it: with none below, there is
    nothing to white out. `algorithm` is that of the diff ID. InvalidArgument names the
    entry of a malformed archive, FailedPrecondition the one that the system could not write.
    """
    if upper is not None:
        return apply_to(stream, upper, Form.OVERLAY, lowers, algorithm)
    if len(mounts) != 1 or mounts[0].fstype != "bind":
        raise ValueError("a snapshot without an upper directory must be one bind mount")
    return apply_to(stream, Path(mounts[0].source), Form.PLAIN, (), algorithm)


def apply_to(
    stream: Source, directory: Path | int, form: Form, lowers: Sequence[Path] = (),
    algorithm: str = "sha256",
) -> Applied:  # fmt: skip
    """Apply a layer to a directory or its descriptor; as `apply_layer`."""
    with ExitStack() as scope:
        root = Root.on(directory) if isinstance(directory, int) else Root.at(directory)
        scope.enter_context(root)
        below = [scope.enter_context(Root.at(each)) for each in lowers]
        ahead = scope.enter_context(ReadAhead(bounded(stream), algorithm))
        reader = TarReader(ahead)
        target = _Overlay(root, below) if form is Form.OVERLAY else _Plain(root)
        for entry in reader:
            try:
                target.apply(entry, reader)
            except (OSError, OverflowError, ValueError) as error:
                raise blame(entry, error) from error
        target.finish()
        reader.drain()
        dropped = frozenset(target.extractor.dropped_xattrs)
        return Applied(ahead.digest, ahead.size, dropped)


class _Target:
    """What both forms share: sorting entries out."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.extractor = Extractor(root)

    def apply(self, entry: Entry, reader: TarReader) -> None:
        path = clean(entry.name)
        parent, _, base = path.rpartition("/")
        if base.startswith(whiteouts.PREFIX):
            self._white_out(parent, base)
            return
        if not path:
            if entry.kind is EntryKind.DIRECTORY:
                self.extractor.extract("", entry, reader)
            return
        there = self.parent(parent)
        if there != parent:
            path = _join(there, base)
        self.extract(path, entry, reader)

    def _white_out(self, parent: str, base: str) -> None:
        there = self.resolve(parent)
        if there is None:
            return
        if base == whiteouts.OPAQUE:
            self.opaque(there)
        elif not base.startswith(whiteouts.RESERVED) and base != whiteouts.PREFIX:
            self.whiteout(_join(there, base[len(whiteouts.PREFIX) :]))

    def finish(self) -> None:
        self.extractor.finish()

    def resolve(self, path: str) -> str | None:
        """Return where the directory `path` really is, None if there is none."""
        raise NotImplementedError

    def parent(self, path: str) -> str:
        """Make sure that the directory `path` exists; return where it really is."""
        raise NotImplementedError

    def extract(self, path: str, entry: Entry, reader: TarReader) -> None:
        raise NotImplementedError

    def whiteout(self, path: str) -> None:
        raise NotImplementedError

    def opaque(self, path: str) -> None:
        raise NotImplementedError


class _Plain(_Target):
    """The merged tree itself; remembers what the layer brought, which no whiteout removes."""

    def __init__(self, root: Root) -> None:
        super().__init__(root)
        self._brought: set[str] = set()

    def resolve(self, path: str) -> str | None:
        try:
            self.root.directory(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self.root.resolve(path)

    def parent(self, path: str) -> str:
        self.root.mkdirs(path)
        return self.root.resolve(path)

    def extract(self, path: str, entry: Entry, reader: TarReader) -> None:
        if entry.kind is EntryKind.HARD_LINK:
            parent, _, base = clean(entry.link).rpartition("/")
            self.extractor.link(path, _join(self.root.resolve(parent), base))
        else:
            self.extractor.extract(path, entry, reader)
        while path and path not in self._brought:
            self._brought.add(path)
            path = path.rpartition("/")[0]

    def whiteout(self, path: str) -> None:
        if path in self._brought:
            self._remove_others(path)
        elif self.root.exists(path):
            self.root.remove(path)

    def opaque(self, path: str) -> None:
        self._remove_others(path)

    def _remove_others(self, path: str) -> None:
        """Remove all below `path` that the layer did not bring itself."""
        if not stat.S_ISDIR(self.root.stat(path).st_mode):
            return
        for name in self.root.listdir(path):
            self.whiteout(_join(path, name))


class _Overlay(_Target):
    """An upper directory, looked at together with the layers below where that matters."""

    def __init__(self, root: Root, lowers: Sequence[Root]) -> None:
        super().__init__(root)
        self._below = lowers
        self._lowers = MergedTree(lowers)
        self._merged = MergedTree([root, *lowers])
        self._elsewhere: dict[str, str] = {}
        self._copies: set[str] = set()
        """What is in the upper directory without being the layer's own: directories on the way,
        targets of links. Whiteouts of the same layer do apply to them."""

    def parent(self, path: str) -> str:
        path = self._elsewhere.get(path, path)
        try:
            self.root.directory(path)
        except (FileNotFoundError, NotADirectoryError):
            return self._make_parent(path)
        if self._copies:
            # Only by its real path can it be told that a copy has become the layer's own.
            resolved = self.root.resolve(path)
            self._elsewhere[path] = resolved
            return resolved
        return path

    def _make_parent(self, path: str) -> str:
        resolved = self._merged.resolve(path)
        self._make(resolved)
        if resolved != path:
            self._elsewhere[path] = resolved
        return resolved

    def _make(self, path: str) -> None:
        """Copy up the directory `path`, which holds no symlinks, and its parents, or create it."""
        try:
            self.root.directory(path)
            return
        except (FileNotFoundError, NotADirectoryError):
            pass  # a whiteout is no directory either
        self._make(path.rpartition("/")[0])
        found = self._merged.find(path)
        if found is not None and not stat.S_ISDIR(found[1].st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        hidden = self._clear_whiteout(path)
        self.root.mkdir(path)
        self._copies.add(path)
        parent, name = self.root.locate(path)
        if hidden:
            self._mark_opaque(path)
        elif found is not None:
            layer, status = found
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            try:
                os.fchown(fd, status.st_uid, status.st_gid)
                os.fchmod(fd, stat.S_IMODE(status.st_mode))
                for key, value in xattrs.read(xattrs.at(*layer.locate(path))).items():
                    os.setxattr(fd, key, value)
            finally:
                os.close(fd)
            self.extractor.remember_time(path, status.st_mtime_ns)

    def extract(self, path: str, entry: Entry, reader: TarReader) -> None:
        kind = entry.kind
        if kind is EntryKind.DIRECTORY:
            hidden = self._clear_whiteout(path)
            self.extractor.extract(path, entry, reader)
            if hidden:
                self._mark_opaque(path)
            self._elsewhere.clear()
        elif kind is EntryKind.HARD_LINK:
            self.extractor.link(path, self._linked(clean(entry.link)))
        else:
            self.extractor.extract(path, entry, reader)
            if kind is EntryKind.SYMLINK:
                self._elsewhere.clear()
        while path and self._copies:
            self._copies.discard(path)
            path = path.rpartition("/")[0]

    def _linked(self, target: str) -> str:
        """Return where in the upper directory the target of a hard link is, copied up if need be."""
        parent, _, base = target.rpartition("/")
        target = _join(self._merged.resolve(parent), base)
        found = self._merged.find(target)
        if found is None:
            raise FileNotFoundError(
                errno.ENOENT, f"hard link to {target!r}, which does not exist", target
            )
        layer, status = found
        if layer is not self.root and not stat.S_ISDIR(status.st_mode):
            self._make(target.rpartition("/")[0])
            TreeCopy(layer, self.root).copy(target, target)
            self._copies.add(target)
        return target

    def resolve(self, path: str) -> str | None:
        resolved = self._merged.resolve(path)
        found = self._merged.find(resolved)
        return resolved if found is not None and stat.S_ISDIR(found[1].st_mode) else None

    def whiteout(self, path: str) -> None:
        # overlayfs lists whiteouts that have nothing to white out.
        if hides_below(self.root, path) or self._lowers.find(path) is None:
            return
        self._make(path.rpartition("/")[0])
        self._drop_copies(path)
        parent, name = self.root.locate(path)
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=parent)
        except FileExistsError:
            # The layer itself brings something of that name: only what is below is hidden.
            existing = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(existing.st_mode):
                self._mark_opaque(path)

    def opaque(self, path: str) -> None:
        if not path:
            # overlayfs takes no root directory for opaque.
            for layer in self._below:
                for name in layer.listdir(""):
                    self.whiteout(name)
        elif not hides_below(self.root, path) and self._lowers.find(path) is not None:
            self._make(path)
            self._drop_copies(f"{path}/")
            self._mark_opaque(path)

    def _drop_copies(self, path: str) -> None:
        """Remove the copies at and below `path`, only below if it ends with a slash."""
        below = path if path.endswith("/") else f"{path}/"
        for each in sorted(each for each in self._copies if each == path or each.startswith(below)):
            self._copies.discard(each)
            if self.root.exists(each):
                self.root.remove(each)

    def _mark_opaque(self, path: str) -> None:
        self._remove_whiteouts(path)
        os.setxattr(xattrs.at(*self.root.locate(path)), xattrs.OPAQUE, b"y", follow_symlinks=False)

    def _remove_whiteouts(self, path: str) -> None:
        """Remove the whiteouts below `path`, where they would white out nothing any more."""
        pending = [path]
        while pending:
            directory = pending.pop()
            for name in self.root.listdir(directory):
                status = self.root.stat(child := _join(directory, name))
                if whiteouts.is_whiteout(status):
                    self.root.unlink(child)
                elif stat.S_ISDIR(status.st_mode):
                    pending.append(child)

    def _clear_whiteout(self, path: str) -> bool:
        """Remove a whiteout at `path` and tell whether there was one."""
        parent, name = self.root.locate(path)
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not whiteouts.is_whiteout(status):
            return False
        self.root.remove(path)
        return True


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
