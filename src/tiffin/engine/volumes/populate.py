"""Copy-up: an empty volume begins with what the image has at the place where it is mounted."""

import os
import stat
from collections.abc import Sequence

from tiffin.fs.copy import TreeCopy
from tiffin.fs.rooted import Root
from tiffin.linux.mounts import detached
from tiffin.spec.mount import Mount


def populate(volume: Sequence[Mount], rootfs: Sequence[Mount], path: str) -> None:
    """Copy the directory `path` of `rootfs` into `volume` if that is empty; OSError.

    Owner, mode and attributes of the directory itself are copied, too. Nothing happens if `path`
    is missing or no directory. Neither is mounted anywhere that others could see. Blocking.
    """
    with Root(detached(volume)) as target:
        if not stat.S_ISDIR(os.fstat(target.fd).st_mode) or target.listdir(""):
            return
        with Root(detached(rootfs)) as source:
            try:
                origin = source.resolve(path)
                if not stat.S_ISDIR(source.stat(origin).st_mode):
                    return
            except (FileNotFoundError, NotADirectoryError):
                return
            TreeCopy(source, target).copy(origin, "")
