"""How much a tree holds."""

import os
import stat
from pathlib import Path


def measure(path: Path | str) -> tuple[int, int]:
    """Return (bytes, inodes) of the trusted tree `path`, hard links counted once.

    Bytes are the lengths of files and symlinks, without directories, as Docker counts. What
    vanishes meanwhile, or lies too deep for a path, is left out. OSError if `path` itself is no directory.
    """
    size, inodes = 0, 1
    linked: set[tuple[int, int]] = set()
    pending = [str(path)]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:  # vanished, or a path that a container has made too long
            if inodes == 1 and not pending:
                raise
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
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
        pending = [str(path)] if stat.S_ISDIR(root.st_mode) else []
        while pending:
            try:
                entries = os.scandir(pending.pop())
            except OSError:
                continue
            with entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if status.st_dev == root.st_dev:
                        total += self._count(status)
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
        return total

    def _count(self, status: os.stat_result) -> int:
        key = status.st_dev, status.st_ino
        if key in self._seen:
            return 0
        self._seen.add(key)
        return status.st_blocks * 512
