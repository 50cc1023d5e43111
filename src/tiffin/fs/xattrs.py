"""Extended attributes of a file or symlink, and which of them travel with it (xattr(7))."""

import errno
import os

OVERLAY_PREFIXES = ("trusted.overlay.", "user.overlay.")
"""overlayfs keeps its own notes here; they mean nothing outside the one directory they are in,
and coming from an archive they would let it forge whiteouts, redirects and metadata copies."""

OPAQUE = "trusted.overlay.opaque"

_PREFIXES = ("user.", "trusted.", "system.posix_acl_")
_NAMES = frozenset({"security.capability"})


def travels(name: str) -> bool:
    """Tell whether the attribute `name` belongs to the file's content.

    Others (`security.selinux`, `security.ima` …) belong to the host that the file lies on.
    """
    return name in _NAMES or (name.startswith(_PREFIXES) and not name.startswith(OVERLAY_PREFIXES))


def at(parent: int, name: str) -> str:
    """Return a path for `name` in the directory descriptor `parent`, for calls without `*at`."""
    return f"/proc/self/fd/{parent}/{name}"


def read(file: int | str) -> dict[str, bytes]:
    """Return the travelling attributes of an open file, or of a path that is not followed.

    Empty where the file system has none. OSError.
    """
    follow = isinstance(file, int)
    try:
        names = os.listxattr(file, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return {}
        raise
    return {
        name: os.getxattr(file, name, follow_symlinks=follow)
        for name in sorted(names)
        if travels(name)
    }


def is_opaque(file: int | str) -> bool:
    """Tell whether the directory `file` is marked opaque for overlayfs."""
    try:
        return os.getxattr(file, OPAQUE, follow_symlinks=isinstance(file, int)) in (b"y", b"x")
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise
