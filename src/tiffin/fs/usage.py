"""How much a tree holds."""

import os
from pathlib import Path


def measure(path: Path | str) -> tuple[int, int]:
    """Return (bytes, inodes) of the trusted tree `path`, hard links counted once.

    Bytes are the lengths of files and symlinks, without directories, as Docker counts. What
    vanishes meanwhile is left out. OSError if `path` itself is no directory.
    """
    size, inodes = 0, 1
    linked: set[tuple[int, int]] = set()
    pending = [str(path)]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except FileNotFoundError:
            if inodes == 1 and not pending:
                raise
            continue
        with entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
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
