"""Looking things up in a stack of overlayfs layers without mounting it."""

import errno
import os
import stat
from collections.abc import Sequence

from tiffin.fs import xattrs
from tiffin.fs.rooted import MAX_LINKS, Root, clean
from tiffin.layers.whiteouts import is_whiteout


class MergedTree:
    """A read-only look at `layers`, top first, as overlayfs would merge them."""

    def __init__(self, layers: Sequence[Root]) -> None:
        self._layers = layers

    def find(self, path: str) -> tuple[Root, os.stat_result] | None:
        """Return the topmost layer that shows the clean `path`, and its status, not followed."""
        for layer in self._layers:
            status, hides = _probe(layer, path)
            if status is not None:
                return layer, status
            if hides:
                return None
        return None

    def resolve(self, path: str) -> str:
        """Return the clean `path` with all symlinks resolved; what is missing stays as written.

        OSError if there are too many symlinks.
        """
        resolved = ""
        rest = [part for part in reversed(path.split("/")) if part]
        links = MAX_LINKS
        while rest:
            part = rest.pop()
            if part == "..":
                resolved = resolved.rpartition("/")[0]
                continue
            if part == ".":
                continue
            candidate = f"{resolved}/{part}" if resolved else part
            found = self.find(candidate)
            if found is None or not stat.S_ISLNK(found[1].st_mode):
                resolved = candidate
                continue
            links -= 1
            if links < 0:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = found[0].readlink(candidate)
            if target.startswith("/"):
                resolved = ""
            rest.extend(each for each in reversed(target.split("/")) if each)
        return clean(resolved)


def hides_below(layer: Root, path: str) -> bool:
    """Tell whether directories above the clean `path` hide what layers below `layer` have there."""
    at = path.find("/")
    while at >= 0:
        try:
            status = layer.stat(path[:at])
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISDIR(status.st_mode) or is_opaque_at(layer, path[:at]):
            return True
        at = path.find("/", at + 1)
    return False


def is_opaque_at(layer: Root, path: str) -> bool:
    """Tell whether the directory `path` of a layer is marked opaque."""
    return xattrs.is_opaque(xattrs.at(*layer.locate(path)))


def _probe(layer: Root, path: str) -> tuple[os.stat_result | None, bool]:
    """Return what `layer` has at `path`, and whether it hides what lower layers have there."""
    at = 0
    hides = False
    while True:
        at = path.find("/", at)
        prefix = path if at < 0 else path[:at]
        try:
            status = layer.stat(prefix)
        except (FileNotFoundError, NotADirectoryError):
            return None, hides
        if is_whiteout(status):
            return None, True
        if at < 0:
            return status, True
        if not stat.S_ISDIR(status.st_mode):
            return None, True
        hides = hides or is_opaque_at(layer, prefix)
        at += 1
