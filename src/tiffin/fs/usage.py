"""How much a tree holds. Whoever owns the tree may change it meanwhile: no link is followed."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tiffin.linux.syscalls import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def measure(path: Path | str) -> tuple[int, int]:
    """Return (bytes, inodes) of the tree `path`, hard links counted once.

    Bytes are the lengths of files and symlinks, without directories, as Docker counts. What
    vanishes meanwhile, or lies too deep for a path, is left out. OSError if `path` itself is no
    directory.
    """
    size, inodes = 0, 1
    linked: set[tuple[int, int]] = set()
    for status in _below(path):
        if not stat.S_ISDIR(status.st_mode):
            if status.st_nlink > 1:
                if (status.st_dev, status.st_ino) in linked:
                    continue
                linked.add((status.st_dev, status.st_ino))
            size += status.st_size
        inodes += 1
    return size, inodes


class Allocation:
    """Counts blocks on disk as du(1) does: each file and directory once, whatever its names."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def of(self, path: Path | str) -> int:
        """Return the bytes allocated for `path` and all below it that were not counted before.

        Other file systems mounted below are left out, as is what vanishes meanwhile.
        """
        try:
            root = os.lstat(path)
        except FileNotFoundError:
            return 0
        total = self._count(root)
        if stat.S_ISDIR(root.st_mode):
            total += sum(self._count(status) for status in _below(path, device=root.st_dev))
        return total

    def _count(self, status: os.stat_result) -> int:
        key = status.st_dev, status.st_ino
        if key in self._seen:
            return 0
        self._seen.add(key)
        return status.st_blocks * 512


def _below(path: Path | str, device: int | None = None) -> Iterator[os.stat_result]:
    """Yield the status of all below `path`, on `device` alone if that is given."""
    root = os.open(path, _DIRECTORY)
    try:
        pending = ["."]
        while pending:
            relative = pending.pop()
            for entry in _entries(root, relative):
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if device in (None, status.st_dev):
                    if stat.S_ISDIR(status.st_mode):
                        pending.append(f"{relative}/{entry.name}")
                    yield status
    finally:
        os.close(root)


def _entries(root: int, relative: str) -> Iterator[os.DirEntry[str]]:
    try:
        fd = openat2(
            root, relative, _DIRECTORY, resolve=RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS
        )  # fmt: skip
    except OSError:  # vanished, became a link, or a path that a container has made too long
        return
    try:
        with os.scandir(fd) as entries:
            yield from entries
    finally:
        os.close(fd)
