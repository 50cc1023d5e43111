"""What a tar entry says about an object on disk, and writing whole trees of them."""

import os
import stat
from collections.abc import Container
from dataclasses import replace

from tiffin.fs import xattrs
from tiffin.fs.rooted import Root
from tiffin.fs.tar import Entry, EntryKind, TarWriter
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMappings

_SECOND = 10**9
_KINDS = {
    stat.S_IFREG: EntryKind.FILE, stat.S_IFDIR: EntryKind.DIRECTORY, stat.S_IFLNK: EntryKind.SYMLINK,
    stat.S_IFCHR: EntryKind.CHARACTER, stat.S_IFBLK: EntryKind.BLOCK, stat.S_IFIFO: EntryKind.FIFO,
}  # fmt: skip


class TreeWriter:
    """Writes objects below `root` as entries; an object seen again becomes a hard link.

    Times are whole seconds, names of users are left out and entries come in the order of the calls,
    so that the same tree gives the same bytes. `owner` (uid, gid), if given, replaces all owners.
    Of directories on a device in `closed` only they themselves are written, not what is in them.
    """

    def __init__(
        self,
        root: Root,
        writer: TarWriter,
        *,
        owner: tuple[int, int] | None = None,
        ids: IdMappings = NO_MAPPINGS,
        closed: Container[int] = (),
    ) -> None:
        self._root = root
        self._writer = writer
        self._owner = owner
        self._ids = ids
        self._closed = closed
        self._linked: dict[tuple[int, int], str] = {}
        self.entries = 0

    def add(self, path: str, name: str, status: os.stat_result | None = None) -> None:
        """Write the object `path` under `name`; a socket is left out. OSError."""
        status = status or self._root.stat(path)
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return
        entry = self._entry(path, name, kind, status)
        self.entries += 1
        if entry.kind is not EntryKind.FILE:
            self._writer.add(entry)
            return
        # Not blocking, and looked at again: a live tree may have put a FIFO or a link there.
        fd = self._root.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            opened = os.fstat(fd)
            if stat.S_ISREG(opened.st_mode):
                self._writer.add_file(replace(entry, size=opened.st_size), fd)
        finally:
            os.close(fd)

    def add_tree(self, path: str, name: str) -> None:
        """Write the object `path` and all below it, sorted, as `name`; OSError.

        "" as `name` writes only what is below. What vanishes meanwhile is left out.
        """
        pending = [(path, name)]
        while pending:
            path, name = pending.pop()
            try:
                status = self._root.stat(path)
                if name:
                    self.add(path, name, status)
                is_open = stat.S_ISDIR(status.st_mode) and status.st_dev not in self._closed
                names = self._root.listdir(path) if is_open else []
            except FileNotFoundError:
                if not self.entries:
                    raise
                continue
            pending.extend((join(path, each), join(name, each)) for each in reversed(names))

    def add_empty(self, name: str) -> None:
        """Write an empty file, as whiteouts are."""
        self._writer.add(Entry(name, mode=0))
        self.entries += 1

    def _entry(self, path: str, name: str, kind: EntryKind, status: os.stat_result) -> Entry:
        link = self._root.readlink(path) if kind is EntryKind.SYMLINK else ""
        if status.st_nlink > 1 and kind is not EntryKind.DIRECTORY:
            identity = (status.st_dev, status.st_ino)
            if identity in self._linked:
                kind, link = EntryKind.HARD_LINK, self._linked[identity]
            else:
                self._linked[identity] = name
        is_device = kind in (EntryKind.CHARACTER, EntryKind.BLOCK)
        uid, gid = self._owner or self._ids.inside(status.st_uid, status.st_gid)
        return Entry(
            name, kind, stat.S_IMODE(status.st_mode), uid, gid,
            status.st_size if kind is EntryKind.FILE else 0,
            status.st_mtime_ns // _SECOND * _SECOND, link,
            major=os.major(status.st_rdev) if is_device else 0,
            minor=os.minor(status.st_rdev) if is_device else 0,
            xattrs={} if kind is EntryKind.HARD_LINK else self._xattrs(path),
        )  # fmt: skip

    def _xattrs(self, path: str) -> dict[str, bytes]:
        return xattrs.read(xattrs.at(*self._root.locate(path)))


def join(directory: str, name: str) -> str:
    """Join two path parts of which the first may be the root, ""."""
    if directory in ("", "/"):
        return directory + name
    return f"{directory}/{name}"
