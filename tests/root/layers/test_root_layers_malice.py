"""A corpus of archives that try to reach outside the root they are applied to."""

import io
import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.root.layers.layers_trees import Item, directory, file, hard_link, layer, symlink, tree

from tiffin.errors import TiffinError
from tiffin.fs.rooted import Root
from tiffin.fs.tar import Entry, EntryKind
from tiffin.layers.apply import Form, apply_to
from tiffin.layers.archive import unpack

pytestmark = pytest.mark.root

OUT = "OUT"
"""Stands for the absolute path of the directory that must not be touched."""

CORPUS: dict[str, list[Item]] = {
    "parent in name": [file("../outside/pwned", b"x"), file("a/../../outside/pwned", b"x")],
    "many parents": [file("../" * 50 + "outside/pwned", b"x")],
    "absolute name": [file(f"{OUT}/pwned", b"x"), directory(f"{OUT}/d")],
    "odd slashes": [file(f"//.//..//{OUT}///pwned", b"x")],
    "absolute symlink as parent": [symlink("link", OUT), file("link/pwned", b"x")],
    "relative symlink as parent": [symlink("link", "../outside"), file("link/pwned", b"x")],
    "symlink in a directory": [directory("a"), symlink("a/l", "../../outside"), file("a/l/p", b"x")],
    "chain of symlinks": [
        symlink("one", "two"), symlink("two", "three/.."), symlink("three", f"{OUT}/x"),
        file("one/pwned", b"x"),
    ],
    "write through a symlink to a file": [
        symlink("victim", f"{OUT}/victim"), file("victim", b"overwritten"),
    ],
    "append a directory to a symlink": [symlink("link", OUT), directory("link", mode=0o777)],
    "directory turned symlink": [
        directory("d"), file("d/a", b"x"), symlink("d", OUT), file("d/pwned", b"x"),
    ],
    "directory turned symlink by whiteout": [
        directory("d"), file("d/a", b"x"), ".wh.d", symlink("d", OUT), file("d/pwned", b"x"),
    ],
    "hard link out": [hard_link("stolen", f"{OUT}/victim"), hard_link("too", "../outside/victim")],
    "hard link through a symlink": [symlink("link", OUT), hard_link("stolen", "link/victim")],
    "hard link to a symlink": [
        symlink("link", f"{OUT}/victim"), hard_link("two", "link"), file("two", b"overwritten"),
    ],
    "whiteout through a symlink": [symlink("link", OUT), "link/.wh.victim"],
    "opaque through a symlink": [symlink("link", OUT), "link/.wh..wh..opq"],
    "whiteout of parents": [".wh...", ".wh..", "a/.wh...", "../outside/.wh.victim"],
    "mode through a symlink": [symlink("link", f"{OUT}/victim"), Entry("link", mode=0o4777)],
    "node through a symlink": [
        symlink("link", OUT), Entry("link/null", EntryKind.CHARACTER, major=1, minor=3),
        Entry("link/fifo", EntryKind.FIFO), symlink("link/sym", "x"),
    ],
    "magic link": [
        symlink("proc", "/proc/self/fd"), symlink("cwd", "/proc/self/cwd"), file("cwd/p", b"x"),
    ],
    "times through a symlink": [
        directory("d", mtime_ns=0), symlink("d", OUT), directory("link"), symlink("link", OUT),
    ],
    "dangling symlink to outside": [symlink("l", f"{OUT}/new"), file("l/pwned", b"x")],
    "xattr through a symlink": [symlink("l", OUT, xattrs={"trusted.x": b"y"})],
}  # fmt: skip


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "victim").write_text("intact")
    return path


def located(items: list[Item], outside: Path) -> io.BytesIO:
    data = layer(*items).getvalue()
    if OUT.encode() not in data:
        return io.BytesIO(data)
    sink = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as read, tarfile.open(
        fileobj=sink, mode="w", format=tarfile.PAX_FORMAT
    ) as write:  # fmt: skip
        for info in read:
            info.name = info.name.replace(OUT, str(outside))
            info.linkname = info.linkname.replace(OUT, str(outside))
            write.addfile(info, read.extractfile(info) if info.isreg() else None)
    return io.BytesIO(sink.getvalue())


def as_overlay(stream: io.BytesIO, root: Path) -> None:
    apply_to(stream, root, Form.OVERLAY)


def as_overlay_on_links(stream: io.BytesIO, root: Path) -> None:
    lower = root.parent / "lower"
    lower.mkdir()
    for name in ("link", "l", "one", "d"):
        (lower / name).symlink_to(root.parent / "outside")
    apply_to(stream, root, Form.OVERLAY, [lower])


def as_plain(stream: io.BytesIO, root: Path) -> None:
    apply_to(stream, root, Form.PLAIN)


def as_plain_on_links(stream: io.BytesIO, root: Path) -> None:
    for name in ("a", "d", "link"):
        (root / name).symlink_to(root.parent / "outside")
    apply_to(stream, root, Form.PLAIN)


def as_copy(stream: io.BytesIO, root: Path) -> None:
    (root / "into").mkdir()
    with Root.at(root) as confined:
        unpack(confined, "into", stream)


def as_copy_on_links(stream: io.BytesIO, root: Path) -> None:
    (root / "into").mkdir()
    for name in ("a", "d", "link"):
        (root / "into" / name).symlink_to(root.parent / "outside")
    with Root.at(root) as confined:
        unpack(confined, "into", stream, no_overwrite_dir_non_dir=True, owner=(1, 1))


@pytest.mark.parametrize(
    "apply", [as_overlay, as_overlay_on_links, as_plain, as_plain_on_links, as_copy, as_copy_on_links]
)  # fmt: skip
@pytest.mark.parametrize("name", CORPUS)
def test_nothing_outside_changes(
    tmp_path: Path, outside: Path, name: str, apply: Callable[[io.BytesIO, Path], None]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    before = tree(outside)
    status = (outside / "victim").stat()
    with suppress(TiffinError):  # and nothing else
        apply(located(CORPUS[name], outside), root)
    assert tree(outside) == before
    after = (outside / "victim").stat()
    assert (after.st_nlink, after.st_ctime_ns) == (status.st_nlink, status.st_ctime_ns)
    assert set(os.listdir(tmp_path)) <= {"outside", "root", "lower"}
    victim = status.st_ino
    for path, _, files in os.walk(root):
        assert all(os.lstat(os.path.join(path, each)).st_ino != victim for each in files)
