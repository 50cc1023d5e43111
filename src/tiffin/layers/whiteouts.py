"""How a layer says that something below it is gone.

In archives (OCI image-spec, layer.md, Whiteouts): an empty file `.wh.<name>`, or `.wh..wh..opq` for
all that a directory had. On disk (overlayfs.rst, whiteouts and opaque directories): a character
device 0:0, or an extended attribute on the directory.
"""

import os
import stat

PREFIX = ".wh."
OPAQUE = ".wh..wh..opq"
RESERVED = ".wh..wh."
"""Begins the names of an older union file system's own files, which mean nothing here."""


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether an object on disk is an overlayfs whiteout."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
