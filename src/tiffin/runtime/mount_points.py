"""Where in the container something is mounted: found or made, by the kernel's own path resolution.

Every path is resolved with the container's root as root (openat2), so that no symlink of an image
leads to the host.
"""

import errno
import os
import stat

from tiffin.fs.rooted import Root
from tiffin.linux import mount_options, syscalls
from tiffin.linux.syscalls import RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS
from tiffin.runtime.operation import Place
from tiffin.spec.mount import Mount

O_PLACE = os.O_PATH | os.O_CLOEXEC
_MOST_LINKS = 40
CONSOLE = "/dev/console"


def mount_point(place: Place, item: Mount, *, is_directory: bool) -> tuple[int, bool]:
    """Return a descriptor of the mount point, made if missing, and whether it was there."""
    root = place.root
    existed = True
    try:
        at = _open_place(place, item)
    except FileNotFoundError:
        existed = False
        if is_directory:
            root.mkdirs(item.target)
        else:
            _make_file(root, item.target)
        at = _open_place(place, item)
    if stat.S_ISDIR(os.fstat(at).st_mode) != is_directory:
        os.close(at)
        number = errno.EISDIR if not is_directory else errno.ENOTDIR
        if item.fstype == "bind":
            number = errno.ENOTDIR
        raise OSError(number, os.strerror(number), item.target)
    return at, existed


def check_outside_proc(place: Place, at: int, item: Mount) -> None:
    """Refuse a mount point that a symlink of the image has led into /proc (CVE-2019-19921)."""
    root = os.readlink(f"/proc/self/fd/{place.root.fd}").rstrip("/")
    path = os.readlink(f"/proc/self/fd/{at}").removeprefix(root)
    if path != "/proc" and not path.startswith("/proc/"):
        return
    if path != os.path.normpath(item.target):  # what the configuration itself says is planned
        os.close(at)
        raise OSError(
            errno.EPERM,
            f'"{item.target}" cannot be mounted because it is inside /proc',
            item.target,
        )


def _make_file(root: Root, path: str, links: int = _MOST_LINKS) -> None:
    """Make an empty file; a dangling symlink gets its target made, inside the root."""
    root.mkdirs(os.path.dirname(path))
    flags = os.O_CREAT | os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK
    try:
        os.close(root.open(path, flags, 0o755))
    except FileNotFoundError:
        if not links:
            raise
        _make_file(root, os.path.join(os.path.dirname(path), root.readlink(path)), links - 1)


def _open_place(place: Place, item: Mount) -> int:
    if item.fstype in ("proc", "sysfs") or item.target == CONSOLE:
        # Where these are is known to what masks them: no detour by a link of the image. Nor must a
        # terminal lie over a file of /proc instead (CVE-2025-52565).
        path = item.target.strip("/") or "."
        resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS
        return syscalls.openat2(place.root.fd, path, O_PLACE, resolve=resolve)
    return place.root.open(item.target, O_PLACE)


def shown_mount(item: Mount, target: str) -> str:
    """Return the calls that mount `item` at `target`, for people."""
    options = mount_options.parse(item.options)
    words = ",".join(item.options)
    if item.fstype == "bind":
        flags = "OPEN_TREE_CLONE" + (" | AT_RECURSIVE" if options.recursive else "")
        return f'open_tree("{item.source}", {flags}) → move_mount("{target}") [{words}]'
    return f'fsopen("{item.fstype}") → fsmount → move_mount("{target}") [{words}]'
