"""Trees as values, and layers from lists of entries."""

import io
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiffin.fs import xattrs
from tiffin.fs.rooted import Root
from tiffin.fs.tar import Entry, EntryKind, TarWriter

Item = Entry | tuple[Entry, bytes] | str


def layer(*entries: Item) -> io.BytesIO:
    """Make an archive; text is an empty file of that name."""
    sink = io.BytesIO()
    writer = TarWriter(sink)
    for each in entries:
        if isinstance(each, str):
            each = Entry(each)
        entry, data = each if isinstance(each, tuple) else (each, bytes(each.size))
        writer.add(entry, data)
    writer.finish()
    return io.BytesIO(sink.getvalue())


def directory(name: str, **more: Any) -> Entry:  # noqa: ANN401  # Entry's fields
    return Entry(name, EntryKind.DIRECTORY, **{"mode": 0o755, **more})


def symlink(name: str, target: str, **more: Any) -> Entry:  # noqa: ANN401  # Entry's fields
    return Entry(name, EntryKind.SYMLINK, link=target, **{"mode": 0o777, **more})


def hard_link(name: str, target: str) -> Entry:
    return Entry(name, EntryKind.HARD_LINK, link=target)


def file(name: str, data: bytes = b"", **more: Any) -> tuple[Entry, bytes]:  # noqa: ANN401  # Entry's fields
    return Entry(name, size=len(data), **more), data


def tree(where: Path | int, *, times: bool = True) -> dict[str, tuple[Any, ...]]:
    """Return what is in a tree, by path: everything but inode numbers."""
    seen: dict[str, tuple[Any, ...]] = {}
    inodes: dict[int, str] = {}
    with Root.on(where) if isinstance(where, int) else Root.at(where) as root:
        pending = [""]
        while pending:
            path = pending.pop()
            status = root.stat(path)
            mode = status.st_mode
            data: object = None
            if stat.S_ISREG(mode):
                fd = root.open(path, os.O_RDONLY)
                with os.fdopen(fd, "rb") as opened:
                    data = opened.read()
            elif stat.S_ISLNK(mode):
                data = root.readlink(path)
            elif stat.S_ISDIR(mode):
                pending.extend(f"{path}/{name}".lstrip("/") for name in root.listdir(path))
            else:
                data = status.st_rdev
            attributes = xattrs.read(xattrs.at(*root.locate(path)))
            same = inodes.setdefault(status.st_ino, path) if not stat.S_ISDIR(mode) else path
            linked = same if same != path else ""
            ids = (status.st_uid, status.st_gid)
            time = status.st_mtime_ns // 10**9 if times else 0
            seen[path] = (oct(mode), *ids, data, attributes, time, linked)
    return seen


def names(where: Path | int) -> list[str]:
    """Return the sorted paths in a tree, without the root."""
    return sorted(path for path in tree(where) if path)


def build(where: Path, entries: Sequence[str]) -> None:
    """Make a small tree: `a/` is a directory, `a -> b` a symlink, `a = text` a file."""
    for entry in entries:
        name, arrow, target = entry.partition(" -> ")
        path = where / name.partition(" = ")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            path.symlink_to(target)
        elif entry.endswith("/"):
            path.mkdir(exist_ok=True)
        else:
            path.write_text(entry.partition(" = ")[2])
