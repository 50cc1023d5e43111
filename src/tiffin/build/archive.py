"""ADD's automatic unpacking of local archives."""

import os
from typing import BinaryIO

from tiffin.build.ownership import Owner
from tiffin.errors import InvalidArgument
from tiffin.fs.rooted import Root, clean
from tiffin.fs.tar import TarReader
from tiffin.layers.compression import decompressor
from tiffin.layers.extract import Extractor


def is_archive(root: Root, path: str) -> bool:
    """Tell whether the file is a tar archive, compressed or not, by looking at its beginning."""
    try:
        with _open(root, path) as file:
            if os.fstat(file.fileno()).st_size == 0:
                return False
            next(iter(TarReader(decompressor(file))))
    except (InvalidArgument, StopIteration):
        return False
    return True


def unpack(root: Root, path: str, target: Root, destination: str, *, owner: Owner | None) -> None:
    """Unpack the archive into the directory `destination`, which exists; InvalidArgument."""
    place = target.subroot(destination)
    with _open(root, path) as file, place:
        reader = TarReader(decompressor(file))
        extractor = Extractor(place, owner=(owner.uid, owner.gid) if owner else None)
        for entry in reader:
            name = clean(entry.name)
            try:
                if "/" in name:
                    place.mkdirs(name.rpartition("/")[0])
                extractor.extract(name, entry, reader)
            except OSError as error:
                raise InvalidArgument(
                    f"failed to unpack {path}: {entry.name!r}: {error.strerror}"
                ) from error
        extractor.finish()


def _open(root: Root, path: str) -> BinaryIO:
    return open(root.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb")
