"""Making the object that a tar entry describes, inside a root, with everything about it."""

import errno
import os
import stat
from collections.abc import Mapping

from tiffin.errors import FailedPrecondition, InvalidArgument, TiffinError
from tiffin.fs import xattrs
from tiffin.fs.rooted import Root, chmod_at, clean
from tiffin.fs.tar import Entry, EntryKind, TarReader
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMappings

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ARCHIVES_FAULT = {
    errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.ENOENT, errno.EINVAL, errno.EEXIST,
    errno.EMLINK, errno.EFBIG, errno.EISDIR, errno.EOVERFLOW, errno.EILSEQ, errno.EBUSY,
}  # fmt: skip
_REFUSED_XATTR = {errno.ENOTSUP, errno.EPERM, errno.ENOSPC, errno.E2BIG, errno.ERANGE}
_MAX_ID = 2**32 - 2
_LAST_NS = (2**63 - 2) * 10**9
_NODES = {
    EntryKind.CHARACTER: stat.S_IFCHR,
    EntryKind.BLOCK: stat.S_IFBLK,
    EntryKind.FIFO: stat.S_IFIFO,
}


class Extractor:
    """Creates entries below `root`; times of directories are set by `finish`.

    What is in the way of an entry is removed, except a directory that a directory merges with.
    `owner` (uid, gid), if given, replaces the owners of all entries. `ids` are the maps of the
    container whose ids these are, if the tree shows those of the host.
    """

    def __init__(
        self,
        root: Root,
        *,
        owner: tuple[int, int] | None = None,
        ids: IdMappings = NO_MAPPINGS,
    ) -> None:
        self.root = root
        self.owner = ids.outside(*owner) if owner is not None else None
        self._maps = ids
        self._times: dict[str, int] = {}
        self.dropped_xattrs: set[str] = set()

    def extract(self, path: str, entry: Entry, reader: TarReader) -> None:
        """Create `entry` at the clean path `path`, whose parent exists; OSError.

        For a hard link, `entry.link` is a path from the root.
        """
        kind = entry.kind
        if kind is EntryKind.DIRECTORY:
            self._directory(path, entry)
        elif kind is EntryKind.FILE:
            self._file(path, entry, reader)
        elif kind is EntryKind.SYMLINK:
            self._symlink(path, entry)
        elif kind is EntryKind.HARD_LINK:
            self.link(path, clean(entry.link))
        else:
            self._node(path, entry, _NODES[kind])

    def link(self, path: str, target: str) -> None:
        """Make `path` a hard link to the clean path `target`; OSError."""
        if path == target:
            if stat.S_ISDIR(self.root.stat(target).st_mode):
                raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), target)
            return
        try:
            self.root.link(target, path)
        except FileExistsError:
            self.root.stat(target)  # keep what is there if the target is missing
            self.root.make_way(path)
            self.root.link(target, path)

    def remember_time(self, path: str, mtime_ns: int) -> None:
        """Let `finish` set the time of a directory that was made without an entry."""
        self._times[path] = mtime_ns

    def finish(self) -> None:
        """Set the modification times of the directories that were extracted; OSError."""
        for path, mtime_ns in self._times.items():
            try:
                parent, name = self.root.locate(path)
                if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=parent, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                continue  # a later entry took its place
        self._times.clear()

    def _file(self, path: str, entry: Entry, reader: TarReader) -> None:
        parent, name = self.root.locate(path)
        try:
            fd = os.open(name, _CREATE, entry.mode & 0o777, dir_fd=parent)
        except FileExistsError:
            parent, name = self.root.make_way(path)
            fd = os.open(name, _CREATE, entry.mode & 0o777, dir_fd=parent)
        try:
            reader.copy_to(fd)
            self._attributes(fd, entry)
            os.utime(fd, ns=_time(entry))
        finally:
            os.close(fd)

    def _directory(self, path: str, entry: Entry) -> None:
        parent, name = self._make_directory(path) if path else (self.root.fd, ".")
        fd = os.open(name, _DIRECTORY, dir_fd=parent)
        try:
            self._attributes(fd, entry)
        finally:
            os.close(fd)
        self._times[path] = _time(entry)[0]

    def _make_directory(self, path: str) -> tuple[int, str]:
        parent, name = self.root.locate(path)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            existing = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(existing.st_mode):
                parent, name = self.root.make_way(path)
                os.mkdir(name, 0o700, dir_fd=parent)
        return parent, name

    def _symlink(self, path: str, entry: Entry) -> None:
        parent, name = self.root.locate(path)
        try:
            os.symlink(entry.link, name, dir_fd=parent)
        except FileExistsError:
            parent, name = self.root.make_way(path)
            os.symlink(entry.link, name, dir_fd=parent)
        uid, gid = self._ids(entry)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        if entry.xattrs:
            self._set_xattrs(xattrs.at(parent, name), entry.xattrs)
        os.utime(name, ns=_time(entry), dir_fd=parent, follow_symlinks=False)

    def _node(self, path: str, entry: Entry, kind: int) -> None:
        device = 0
        if kind != stat.S_IFIFO:
            if not (0 <= entry.major < 1 << 12 and 0 <= entry.minor < 1 << 20):
                raise OSError(errno.EINVAL, f"invalid device number {entry.major}:{entry.minor}")
            device = os.makedev(entry.major, entry.minor)
        parent, name = self.root.locate(path)
        try:
            os.mknod(name, kind | 0o600, device, dir_fd=parent)
        except FileExistsError:
            parent, name = self.root.make_way(path)
            os.mknod(name, kind | 0o600, device, dir_fd=parent)
        uid, gid = self._ids(entry)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        chmod_at(parent, name, entry.mode)
        if entry.xattrs:
            self._set_xattrs(xattrs.at(parent, name), entry.xattrs)
        os.utime(name, ns=_time(entry), dir_fd=parent, follow_symlinks=False)

    def _attributes(self, fd: int, entry: Entry) -> None:
        ids = self._ids(entry)
        status = os.fstat(fd)
        # Most are right already, and asking is cheaper than changing.
        if (status.st_uid, status.st_gid) != ids:
            os.fchown(fd, *ids)
        if status.st_mode & 0o7777 != entry.mode or entry.mode & 0o6000:
            os.fchmod(fd, entry.mode)  # after chown, which clears set-user-ID
        if entry.xattrs:
            self._set_xattrs(fd, entry.xattrs)

    def _set_xattrs(self, file: int | str, attributes: Mapping[str, bytes]) -> None:
        for key, value in attributes.items():
            if not xattrs.travels(key):
                continue
            try:
                os.setxattr(file, key, value, follow_symlinks=isinstance(file, int))
            except OSError as error:
                if error.errno not in _REFUSED_XATTR:
                    raise
                self.dropped_xattrs.add(key)

    def _ids(self, entry: Entry) -> tuple[int, int]:
        if self.owner is not None:
            return self.owner
        if not (0 <= entry.uid <= _MAX_ID and 0 <= entry.gid <= _MAX_ID):
            raise OSError(errno.EINVAL, f"invalid owner {entry.uid}:{entry.gid}")
        return self._maps.outside(entry.uid, entry.gid)


def _time(entry: Entry) -> tuple[int, int]:
    """Return both times of what an entry makes; those that cannot be are 0, as with Docker."""
    mtime_ns = entry.mtime_ns if abs(entry.mtime_ns) <= _LAST_NS else 0
    return mtime_ns, mtime_ns


def blame(entry: Entry, error: OSError | OverflowError | ValueError) -> TiffinError:
    """Return what to raise for `error` while `entry` was extracted: whose fault it is, and where.

    InvalidArgument if the archive asks for the impossible, FailedPrecondition if the system fails.
    """
    if not isinstance(error, OSError):
        return InvalidArgument(f"tar entry {entry.name!r}: {error}")
    message = f"tar entry {entry.name!r}: {error.strerror}"
    if error.errno in _ARCHIVES_FAULT or (
        error.errno == errno.EPERM and entry.kind is EntryKind.HARD_LINK
    ):
        return InvalidArgument(message)
    return FailedPrecondition(message)
