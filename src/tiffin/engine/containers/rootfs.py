"""Looking into a container's root filesystem, whether it runs or not."""

import os
import stat
from collections.abc import Sequence

from tiffin.fs.rooted import Root
from tiffin.spec.mount import Mount

_LARGEST_TEXT = 4 << 20


def view_key(container_id: str, index: int) -> str:
    """Return the snapshot key of the image that a container mounts as its `index`th mount."""
    return f"{container_id}-image-{index}"


def read_lines(root: Root, path: str) -> Sequence[str]:
    """Return the lines of a small text file, () if there is none. OSError."""
    try:
        place = root.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    try:
        # Only a regular file is ever opened: an image may hold device nodes under any name.
        if not stat.S_ISREG(os.fstat(place).st_mode):
            return ()
        with open(f"/proc/self/fd/{place}", "rb") as file:
            return file.read(_LARGEST_TEXT).decode(errors="replace").splitlines()
    finally:
        os.close(place)


def process_root(pid: int) -> Root:
    """Return the root directory of a running process; OSError if it is gone."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    return Root(os.open(f"/proc/{pid}/root", flags))


def stopped_view(mounts: Sequence[Mount]) -> tuple[Mount, ...]:
    """Return mounts that show a snapshot without writing to it.

    An overlay's upper directory becomes its topmost lower one, so this is safe while the container
    runs (overlayfs forbids two mounts of one upper directory).
    """
    return tuple(_read_only(mount) for mount in mounts)


def _read_only(mount: Mount) -> Mount:
    upper = next((o[9:] for o in mount.options if o.startswith("upperdir=")), "")
    if mount.fstype != "overlay" or not upper:
        return mount
    upper = upper.replace("\\", "\\\\").replace(":", "\\:")
    options = tuple(
        f"lowerdir={upper}:{option[9:]}" if option.startswith("lowerdir=") else option
        for option in mount.options
        if not option.startswith(("upperdir=", "workdir="))
    )
    return Mount("overlay", mount.source, ("ro", *options), mount.target)
