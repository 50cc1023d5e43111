"""Tar archives of local trees as streams of blocks: build contexts and `cp`."""

import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

BLOCK = 1 << 18
END = b"\0" * (2 * tarfile.BLOCKSIZE)

Keep = Callable[[str], bool]
Change = Callable[[tarfile.TarInfo], tarfile.TarInfo]


def stream_tree(root: Path, *, excludes: Keep, descends: Keep, change: Change) -> Iterator[bytes]:
    """Yield an archive of what is below `root`, in a stable order.

    `excludes` is asked about paths relative to the root, `descends` whether an excluded directory may
    hold something that is not.
    """
    yield from _walk(root, "", excludes, descends, change)
    yield END


def stream_path(path: Path, name: str, change: Change) -> Iterator[bytes]:
    """Yield an archive of `path`, its top entry called `name`."""
    yield from _entry(path, name, change)
    if path.is_dir() and not path.is_symlink():
        yield from _below(path, name, change)
    yield END


def _below(path: Path, name: str, change: Change) -> Iterator[bytes]:
    for child in sorted(os.scandir(path), key=lambda entry: entry.name):
        inner = f"{name}/{child.name}"
        yield from _entry(Path(child.path), inner, change)
        if child.is_dir(follow_symlinks=False):
            yield from _below(Path(child.path), inner, change)


def _walk(
    root: Path, prefix: str, excludes: Keep, descends: Keep, change: Change
) -> Iterator[bytes]:
    for child in sorted(os.scandir(root / prefix), key=lambda entry: entry.name):
        name = f"{prefix}{child.name}"
        is_directory = child.is_dir(follow_symlinks=False)
        if excludes(name):
            if is_directory and descends(name):
                yield from _walk(root, f"{name}/", excludes, descends, change)
            continue
        yield from _entry(Path(child.path), name, change)
        if is_directory:
            yield from _walk(root, f"{name}/", excludes, descends, change)


def _entry(path: Path, name: str, change: Change) -> Iterator[bytes]:
    status = path.lstat()
    if stat.S_ISSOCK(status.st_mode):
        return
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat.S_IMODE(status.st_mode), int(status.st_mtime)
    info.uid, info.gid = status.st_uid, status.st_gid
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        info.name += "/"
    elif stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif stat.S_ISREG(status.st_mode):
        info.size = status.st_size
    else:
        special = {stat.S_IFIFO: tarfile.FIFOTYPE, stat.S_IFCHR: tarfile.CHRTYPE,
                   stat.S_IFBLK: tarfile.BLKTYPE}  # fmt: skip
        info.type = special[stat.S_IFMT(status.st_mode)]
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    info = change(info)
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    if info.isreg():
        yield from _content(path, info.size)


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes and padding, though the file may change meanwhile."""
    left = size
    with path.open("rb") as file:
        while left and (data := file.read(min(BLOCK, left))):
            left -= len(data)
            yield data
    yield b"\0" * left
    yield b"\0" * (-size % tarfile.BLOCKSIZE)


def owned_by_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Forget who owns a file here."""
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
