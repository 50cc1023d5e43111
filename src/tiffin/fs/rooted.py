"""Paths that stay inside a root, whatever symlinks and `..` they hold.

A `Root` is an open directory that every path given to it starts from and never leaves: the kernel
resolves each parent with `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS` (openat2(2)), as if the root
were `/`. The last component is never followed unless the method says so. Paths are text in the
file system encoding (undecodable bytes as surrogates), absolute or relative without difference;
`..` is folded lexically first, as Docker's clients expect.

Descriptors of parent directories are cached by path. Replacing or removing a directory or a
symlink through a `Root` empties the cache; a tree that others change at the same time costs at
worst an error or a write at the directory's old place, never one outside the root.

A `Root` is not thread-safe.
"""

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from tiffin.linux.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

CONFINED = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS

CACHED_DIRECTORIES = 64
MAX_LINKS = 40
"""Dangling symlinks that `mkdirs` follows, the kernel's own limit (path_resolution(7))."""

RETRIES = 128

DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


_NOT_CLEAN = re.compile(r"(?:\A|/)\.{0,2}(?:/|\Z)|\0")


def clean(path: str) -> str:
    """Return `path` without leading slash, empty parts, `.` and `..`; "" is the root.

    `..` at the root stays at the root. NUL is refused with EINVAL.
    """
    if _NOT_CLEAN.search(path) is None:
        return path
    if "\0" in path:
        raise OSError(errno.EINVAL, "path holds a NUL byte", path)
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if parts:
                parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _open_confined(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Resolve inside `root`; the kernel asks for a retry (EAGAIN) while others rename (openat2)."""
    for _ in range(RETRIES):
        try:
            return openat2(root, path, flags, mode=mode, resolve=CONFINED)
        except BlockingIOError:
            continue
    return openat2(root, path, flags, mode=mode, resolve=CONFINED)


class Root:
    """An open directory as the root of paths; owns `fd` and closes it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._directories: dict[str, int] = {}
        self._latest = ("", fd)
        self._held = -1

    @classmethod
    def at(cls, path: str | Path) -> Self:
        """Open the trusted directory `path` as a root; OSError."""
        return cls(os.open(path, DIRECTORY))

    @classmethod
    def on(cls, fd: int) -> Self:
        """Make a root of a directory descriptor that stays the caller's."""
        return cls(os.dup(fd))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.close()

    def close(self) -> None:
        """Close the root and all cached directories."""
        self.flush()
        for fd in (self.fd, self._held):
            if fd >= 0:
                os.close(fd)
        self.fd = self._held = -1

    def flush(self) -> None:
        """Forget the cached directories."""
        directories, self._directories = self._directories, {}
        self._latest = ("", self.fd)
        for fd in directories.values():
            os.close(fd)

    # Resolution

    def directory(self, path: str) -> int:
        """Return an O_PATH descriptor of the directory `path`, symlinks followed; OSError.

        `path` is clean. The descriptor is borrowed: it is good until the second next call of any
        method here.
        """
        if path == self._latest[0]:
            return self._latest[1]
        if not path:
            return self.fd
        fd = self._directories.pop(path, -1)
        if fd < 0:
            fd = _open_confined(self.fd, path, DIRECTORY)
            if len(self._directories) >= CACHED_DIRECTORIES:
                os.close(self._directories.pop(next(iter(self._directories))))
        self._directories[path] = fd
        self._latest = path, fd
        return fd

    def locate(self, path: str) -> tuple[int, str]:
        """Return the borrowed descriptor of the parent of `path`, and its last component.

        The root itself is (root, "."); OSError if a parent is missing or no directory.
        """
        parent, _, name = clean(path).rpartition("/")
        return self.directory(parent), name or "."

    def open(self, path: str, flags: int, mode: int = 0) -> int:
        """Open `path` and return the descriptor; the last component is followed, in the root.

        Add O_NOFOLLOW to refuse a symlink. OSError.
        """
        return _open_confined(self.fd, clean(path) or ".", flags, mode)

    def subroot(self, path: str) -> "Root":
        """Return the directory `path`, symlinks followed, as a root of its own; OSError."""
        return Root(self.open(path, DIRECTORY))

    def stat(self, path: str, *, follow: bool = False) -> os.stat_result:
        """Return the status of `path`; OSError."""
        if follow:
            fd = self.open(path, os.O_PATH)
            try:
                return os.fstat(fd)
            finally:
                os.close(fd)
        parent, name = self.locate(path)
        return os.stat(name, dir_fd=parent, follow_symlinks=False)

    def exists(self, path: str) -> bool:
        """Tell whether there is anything at `path`, be it a dangling symlink."""
        try:
            self.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def readlink(self, path: str) -> str:
        """Return the target of the symlink `path`; OSError."""
        parent, name = self.locate(path)
        return os.readlink(name, dir_fd=parent)

    def resolve(self, path: str) -> str:
        """Return `path` with every symlink resolved, relative to the root; OSError."""
        fd = self.open(path, os.O_PATH)
        try:
            inside, top = (os.readlink(f"/proc/self/fd/{each}") for each in (fd, self.fd))
        finally:
            os.close(fd)
        return inside[len(top) :].lstrip("/") if top != "/" else inside.lstrip("/")

    def listdir(self, path: str) -> list[str]:
        """Return the sorted names in the directory `path`; OSError."""
        fd = self.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sorted(os.listdir(fd))
        finally:
            os.close(fd)

    # Changes

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Create one directory; OSError."""
        parent, name = self.locate(path)
        os.mkdir(name, mode, dir_fd=parent)

    def mkdirs(self, path: str, mode: int = 0o755) -> list[str]:
        """Create the directory `path` and its missing parents; return those made, outermost first.

        A dangling symlink on the way gets its target made, inside the root. OSError.
        """
        return list(self._mkdirs(clean(path), mode, MAX_LINKS))

    def _mkdirs(self, path: str, mode: int, links: int) -> Iterator[str]:
        try:
            self.directory(path)
            return
        except FileNotFoundError:
            if not links:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
        parent, _, name = path.rpartition("/")
        yield from self._mkdirs(parent, mode, links)
        fd = self.directory(parent)
        try:
            os.mkdir(name, mode, dir_fd=fd)
        except FileExistsError:
            target = os.readlink(name, dir_fd=fd)
            yield from self._mkdirs(
                clean(target if target.startswith("/") else f"{parent}/{target}"), mode, links - 1
            )
        else:
            yield path

    def symlink(self, target: str, path: str) -> None:
        """Create the symlink `path`; OSError."""
        parent, name = self.locate(path)
        os.symlink(target, name, dir_fd=parent)

    def link(self, existing: str, path: str) -> None:
        """Create the hard link `path` to `existing`, which is not followed; OSError."""
        self.locate(path)
        source, source_name = self.locate(existing)
        parent, name = self.locate(path)
        os.link(source_name, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)

    def mknod(self, path: str, mode: int, device: int = 0) -> None:
        """Create a device, FIFO or socket node; `mode` has the type. OSError."""
        parent, name = self.locate(path)
        os.mknod(name, mode, device, dir_fd=parent)

    def rename(self, old: str, new: str) -> None:
        """Give `old` the path `new`, replacing what is there where the kernel does; OSError."""
        self.locate(new)
        source, source_name = self.locate(old)
        parent, name = self.locate(new)
        os.rename(source_name, name, src_dir_fd=source, dst_dir_fd=parent)
        self.flush()

    def unlink(self, path: str) -> None:
        """Remove one non-directory; OSError."""
        parent, name = self.locate(path)
        os.unlink(name, dir_fd=parent)
        self.flush()

    def rmdir(self, path: str) -> None:
        """Remove one empty directory; OSError."""
        parent, name = self.locate(path)
        os.rmdir(name, dir_fd=parent)
        self.flush()

    def remove(self, path: str) -> None:
        """Remove whatever is at `path`, with all that is below it; OSError if there is nothing."""
        parent, name = self.locate(path)
        remove_at(parent, name)
        self.flush()

    def make_way(self, path: str) -> tuple[int, str]:
        """Remove whatever is at `path` and return its parent and name as `locate` does; OSError.

        The parent is the directory that it was in, even if the way to it led through what was
        removed; it is borrowed until the next call of this method.
        """
        parent, name = self.locate(path)
        held = os.dup(parent)
        if self._held >= 0:
            os.close(self._held)
        self._held = held
        remove_at(held, name)
        self.flush()
        return held, name


def chmod_at(parent: int, name: str, mode: int) -> None:
    """Set the permission bits of `name` in the directory `parent`; a symlink is left alone. OSError.

    chmod(2) of a name follows symlinks, and whoever shares a live tree may put one there.
    """
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if not stat.S_ISLNK(os.fstat(fd).st_mode):
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def remove_at(parent: int, name: str) -> None:
    """Remove the tree or file `name` in the directory `parent` without following symlinks.

    OSError. Deep trees cost no recursion and at most three descriptors at a time.
    """
    try:
        os.unlink(name, dir_fd=parent)
        return
    except (IsADirectoryError, PermissionError):
        # unlink(2) of a directory is EISDIR on Linux, EPERM by POSIX.
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise
    top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        _empty(top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _empty(top: int) -> None:
    """Remove all below `top`, descending one directory at a time and climbing by `..`.

    Climbing checks that it arrives where it came from, in case the tree moves meanwhile.
    """
    trail: list[tuple[str, tuple[int, int]]] = []
    here = os.dup(top)
    try:
        while True:
            child = _unlink_files(here)
            if child is not None:
                identity = os.fstat(here)
                below = os.open(
                    child, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here
                )
                trail.append((child, (identity.st_dev, identity.st_ino)))
                os.close(here)
                here = below
                continue
            if not trail:
                return
            name, origin = trail.pop()
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = above
            identity = os.fstat(here)
            if (identity.st_dev, identity.st_ino) != origin:
                raise OSError(errno.EAGAIN, "directory moved while it was removed", name)
            os.rmdir(name, dir_fd=here)
    finally:
        os.close(here)


def _unlink_files(directory: int) -> str | None:
    """Remove the non-directories in `directory`; return the name of one directory in it."""
    child = None
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                child = entry.name
            else:
                os.unlink(entry.name, dir_fd=directory)
    return child


def remove_tree(path: str | Path) -> None:
    """Remove the trusted path `path` and all below it; nothing if it does not exist. OSError."""
    try:
        parent = os.open(os.path.dirname(path) or ".", DIRECTORY)
    except FileNotFoundError:
        return
    try:
        remove_at(parent, os.path.basename(path))
    except FileNotFoundError:
        return
    finally:
        os.close(parent)
