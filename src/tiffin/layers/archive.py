"""Tar archives of parts of a tree, out of it and into it, confined to its root.

For `docker cp`, `docker export` and the builder's contexts. The tree may be live: whatever its
processes do meanwhile, nothing outside the root is read or written.
"""

import os
import stat
from collections.abc import Container
from dataclasses import dataclass, replace

from tiffin.errors import InvalidArgument
from tiffin.fs.rooted import Root, clean
from tiffin.fs.tar import Entry, EntryKind, TarReader, TarWriter
from tiffin.layers.compression import Sink, Source, decompressor
from tiffin.layers.describe import TreeWriter, join
from tiffin.layers.extract import Extractor, blame
from tiffin.layers.merged import MergedTree
from tiffin.spec.id_mapping import NO_MAPPINGS, IdMappings


@dataclass(frozen=True, slots=True)
class PathStat:
    """What `docker cp` asks about a path; `mode` is st_mode, `link_target` absolute or ""."""

    name: str
    size: int
    mode: int
    mtime_ns: int
    link_target: str = ""


def stat_path(root: Root, path: str, *, follow: bool = False) -> PathStat:
    """Describe `path`, its last component followed only on request; OSError."""
    status = root.stat(path, follow=follow)
    target = ""
    if stat.S_ISLNK(status.st_mode):
        target = "/" + evaluate(root, path)
    name = clean(path).rpartition("/")[2] or "/"
    return PathStat(name, status.st_size, status.st_mode, status.st_mtime_ns, target)


def evaluate(root: Root, path: str) -> str:
    """Return the clean `path` with symlinks resolved inside the root, as far as it exists."""
    return MergedTree([root]).resolve(clean(path))


def pack(
    root: Root,
    path: str,
    sink: Sink,
    *,
    name: str | None = None,
    follow: bool = False,
    owner: tuple[int, int] | None = None,
    ids: IdMappings = NO_MAPPINGS,
    closed: Container[int] = (),
) -> int:
    """Write `path` and all below it to `sink`; return the number of entries. OSError.

    The first entry is called `name`, by default the last component of `path`; with "" there is no
    entry for `path` itself, only for what is in it. `follow` resolves `path` if it is a symlink.
    `ids` are the maps of a running container's user namespace: the archive has the container's ids.
    Directories on the devices in `closed` come without what is in them.
    """
    if name is None:
        name = clean(path).rpartition("/")[2]
    path = root.resolve(path) if follow else clean(path)
    writer = TarWriter(sink)
    tree = TreeWriter(root, writer, owner=owner, ids=ids, closed=closed)
    tree.add_tree(path, name)
    writer.finish()
    return tree.entries


def unpack(
    root: Root,
    path: str,
    stream: Source,
    *,
    owner: tuple[int, int] | None = None,
    ids: IdMappings = NO_MAPPINGS,
    no_overwrite_dir_non_dir: bool = False,
) -> int:
    """Extract an archive, compressed or not, into the directory `path`; return the entry count.

    Directories merge with directories; anything else that is in the way is replaced, unless
    `no_overwrite_dir_non_dir` forbids it where one of the two is a directory. `owner` (uid, gid)
    replaces the owners in the archive; `ids` are as in `pack`. Names and hard links are confined to
    `path`, symlinks that lie on the way to the root. InvalidArgument, FailedPrecondition; OSError
    if `path` is missing.
    """
    base = root.resolve(path)
    if not stat.S_ISDIR(root.stat(base).st_mode):
        raise InvalidArgument(f"extraction point is not a directory: {path}")
    extractor = Extractor(root, owner=owner, ids=ids)
    reader = TarReader(decompressor(stream))
    count = 0
    for entry in reader:
        try:
            _extract(extractor, base, entry, reader, keep_kind=no_overwrite_dir_non_dir)
        except (OSError, OverflowError, ValueError) as error:
            raise blame(entry, error) from error
        count += 1
    extractor.finish()
    reader.drain()
    return count


def _extract(
    extractor: Extractor, base: str, entry: Entry, reader: TarReader, *, keep_kind: bool
) -> None:
    relative = clean(entry.name)
    root = extractor.root
    if not relative:
        # The extraction point exists already and keeps its attributes.
        return
    path = join(base, relative)
    for made in root.mkdirs(path.rpartition("/")[0]):
        if extractor.owner is not None:
            parent, name = root.locate(made)
            os.chown(name, *extractor.owner, dir_fd=parent, follow_symlinks=False)
    if keep_kind:
        _check_kind(root, path, entry)
    if entry.kind is EntryKind.HARD_LINK:
        entry = replace(entry, link=join(base, clean(entry.link)))
    extractor.extract(path, entry, reader)


def _check_kind(root: Root, path: str, entry: Entry) -> None:
    try:
        status = root.stat(path)
    except FileNotFoundError:
        return
    is_directory = stat.S_ISDIR(status.st_mode)
    if is_directory and entry.kind is not EntryKind.DIRECTORY:
        raise InvalidArgument(
            f'cannot overwrite directory "/{path}" with non-directory "{entry.name}"'
        )
    if not is_directory and entry.kind is EntryKind.DIRECTORY:
        raise InvalidArgument(
            f'cannot overwrite non-directory "/{path}" with directory "{entry.name}"'
        )
