"""Copying trees between roots: data in the kernel, everything about a file preserved."""

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from tiffin.fs import xattrs
from tiffin.fs.rooted import Root, chmod_at, clean

_CHUNK = 1 << 30
_UNSUPPORTED = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF}


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """`owner` (uid, gid) and `mode` (permission bits) replace those of the source.

    `mode` does not touch symlinks. `mtime_ns`, where given, replaces every time.
    """

    owner: tuple[int, int] | None = None
    mode: int | None = None
    mtime_ns: int | None = None


class TreeCopy:
    """Copies from one root into another; hard links among all that it copied are kept."""

    def __init__(self, source: Root, target: Root, options: CopyOptions = CopyOptions()) -> None:
        self._source = source
        self._target = target
        self._options = options
        self._linked: dict[tuple[int, int], str] = {}

    def copy(self, source: str, target: str) -> None:
        """Copy the object `source` to the path `target`, whose parent exists; OSError.

        Symlinks are copied, not followed. A directory merges into an existing one; anything else
        that is in the way is replaced. Sockets are left out.
        """
        source, target = clean(source), clean(target)
        directories: list[tuple[str, os.stat_result]] = []
        pending: list[tuple[str, str]] = [(source, target)]
        while pending:
            origin, path = pending.pop()
            status = self._source.stat(origin)
            if stat.S_ISDIR(status.st_mode):
                self._directory(origin, path, status)
                directories.append((path, status))
                names = self._source.listdir(origin)
                pending.extend((_join(origin, name), _join(path, name)) for name in reversed(names))
            elif not stat.S_ISSOCK(status.st_mode):
                self._other(origin, path, status)
        for path, status in reversed(directories):
            parent, name = self._target.locate(path)
            self._stamp(parent, name, status)

    def copy_children(self, source: str, target: str) -> None:
        """Copy what is in the directory `source` into the directory `target`; OSError."""
        for name in self._source.listdir(source):
            self.copy(_join(clean(source), name), _join(clean(target), name))

    def _directory(self, origin: str, path: str, status: os.stat_result) -> None:
        parent, name = self._target.locate(path)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            existing = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(existing.st_mode):
                self._target.remove(path)
                parent, name = self._target.locate(path)
                os.mkdir(name, 0o700, dir_fd=parent)
        self._attributes(origin, parent, name, status)

    def _other(self, origin: str, path: str, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        self._clear(path)
        if status.st_nlink > 1 and identity in self._linked:
            self._target.link(self._linked[identity], path)
            return
        parent, name = self._target.locate(path)
        if stat.S_ISREG(status.st_mode):
            self._file(origin, parent, name)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(self._source.readlink(origin), name, dir_fd=parent)
        else:
            kind = stat.S_IFMT(status.st_mode)
            os.mknod(name, kind | 0o600, status.st_rdev, dir_fd=parent)
        self._attributes(origin, parent, name, status)
        self._stamp(parent, name, status)
        if status.st_nlink > 1:
            self._linked[identity] = path

    def _clear(self, path: str) -> None:
        if self._target.exists(path):
            self._target.remove(path)

    def _file(self, origin: str, parent: int, name: str) -> None:
        data = self._source.open(origin, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            copy = os.open(name, flags, 0o600, dir_fd=parent)
            try:
                copy_data(data, copy)
            finally:
                os.close(copy)
        finally:
            os.close(data)

    def _attributes(self, origin: str, parent: int, name: str, status: os.stat_result) -> None:
        uid, gid = self._options.owner or (status.st_uid, status.st_gid)
        os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            mode = self._options.mode
            mode = stat.S_IMODE(status.st_mode) if mode is None else mode
            chmod_at(parent, name, mode)
        directory, base = self._source.locate(origin)
        for key, value in xattrs.read(xattrs.at(directory, base)).items():
            os.setxattr(xattrs.at(parent, name), key, value, follow_symlinks=False)

    def _stamp(self, parent: int, name: str, status: os.stat_result) -> None:
        ns = status.st_mtime_ns if self._options.mtime_ns is None else self._options.mtime_ns
        os.utime(name, ns=(ns, ns), dir_fd=parent, follow_symlinks=False)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def copy_data(source: int, target: int) -> None:
    """Copy all data of the regular file `source` into the empty file `target`, holes kept; OSError.

    Shares blocks where the file system can (copy_file_range(2)).
    """
    status = os.fstat(source)
    for start, end in _segments(source, status):
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        _copy_range(source, target, end - start)
    os.ftruncate(target, status.st_size)


def _segments(source: int, status: os.stat_result) -> Iterator[tuple[int, int]]:
    if status.st_blocks * 512 >= status.st_size:
        yield 0, status.st_size
        return
    at = 0
    while at < status.st_size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        at = os.lseek(source, start, os.SEEK_HOLE)
        yield start, at


def _copy_range(source: int, target: int, length: int) -> None:
    try:
        while length:
            copied = os.copy_file_range(source, target, min(length, _CHUNK))
            if not copied:
                break
            length -= copied
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    # Different file systems, or one of the odd ones that report nothing copied at once.
    while length and (copied := os.sendfile(target, source, None, min(length, _CHUNK))):
        length -= copied
