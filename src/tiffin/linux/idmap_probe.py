"""Tells whether a directory's file system supports idmapped mounts: `python -m … DIRECTORY`.

A program of its own, since a user namespace is made by a fork, which a process with threads must
not do. It says what is wrong on standard error and ends with 1.
"""

import os
import sys

from tiffin.linux import mounts
from tiffin.linux.mount_api import AT_FDCWD, OPEN_TREE_CLOEXEC, OPEN_TREE_CLONE, open_tree
from tiffin.linux.user_namespace import open_user_namespace
from tiffin.spec.id_mapping import IdMapping, IdMappings


def main(directory: str) -> int:
    """Try it; return the exit code."""
    maps = (IdMapping(0, 100_000, 65_536),)
    try:
        owners = open_user_namespace(IdMappings(maps, maps))
        clone = open_tree(AT_FDCWD, directory, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)
        mounts.map_owners(clone, directory, owners)
    except OSError as error:
        os.write(2, f"{error.filename}: {error.strerror}\n".encode())
        return 1
    if mounts.kernel_release() < (5, 19):
        os.write(2, b"overlays of idmapped layers need Linux 5.19 or later\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
