import gzip
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.root.layers.layers_trees import (
    build,
    directory,
    file,
    hard_link,
    layer,
    names,
    symlink,
    tree,
)

from tiffin.errors import InvalidArgument
from tiffin.fs.rooted import Root
from tiffin.layers.archive import evaluate, pack, stat_path, unpack

pytestmark = pytest.mark.root


@pytest.fixture
def where(tmp_path: Path) -> Path:
    path = tmp_path / "root"
    build(path, ["etc/passwd = root", "etc/conf/a = a", "link -> etc", "dead -> nowhere"])
    return path


@pytest.fixture
def root(where: Path) -> Iterator[Root]:
    with Root.at(where) as opened:
        yield opened


def packed(root: Root, path: str, **options: object) -> list[str]:
    sink = io.BytesIO()
    pack(root, path, sink, **options)  # type: ignore[arg-type]
    with tarfile.open(fileobj=io.BytesIO(sink.getvalue())) as archive:
        return archive.getnames()


def test_names_of_entries(root: Root) -> None:
    inside = ["conf", "conf/a", "passwd"]
    assert packed(root, "/etc") == ["etc", *[f"etc/{name}" for name in inside]]
    assert packed(root, "etc/", name="renamed") == [
        "renamed", *[f"renamed/{name}" for name in inside],
    ]  # fmt: skip
    assert packed(root, "etc", name=".") == [".", *[f"./{name}" for name in inside]]
    assert packed(root, "etc", name="") == inside
    assert packed(root, "link") == ["link"]
    assert packed(root, "link", follow=True)[0:2] == ["link", "link/conf"]
    assert packed(root, "link/passwd") == ["passwd"]
    assert packed(root, "/", name="")[:2] == ["dead", "etc"]
    assert packed(root, "/", name="/")[1] == "/dead"
    with pytest.raises(FileNotFoundError):
        packed(root, "missing")
    with pytest.raises(FileNotFoundError):
        packed(root, "dead", follow=True)


def test_what_is_packed_is_unpacked(root: Root, where: Path, tmp_path: Path) -> None:
    os.link(where / "etc" / "passwd", where / "etc" / "same")
    (where / "etc" / "passwd").chmod(0o4640)
    os.chown(where / "etc" / "conf", 5, 6)
    os.setxattr(where / "etc", "user.a", b"b")
    sink = io.BytesIO()
    pack(root, "/", sink, name="")
    target = tmp_path / "target"
    target.mkdir(0o755)
    with Root.at(target) as goal:
        assert unpack(goal, "/", io.BytesIO(sink.getvalue())) == 7
    seen, wanted = tree(target), tree(where)
    assert seen.pop("")[:5] == wanted.pop("")[:5]
    assert seen == wanted


def test_owners_can_be_replaced(root: Root, where: Path) -> None:
    sink = io.BytesIO()
    pack(root, "etc", sink, owner=(7, 8))
    unpack(root, "link/conf", io.BytesIO(sink.getvalue()))
    assert (where / "etc" / "conf" / "etc" / "passwd").stat().st_uid == 7
    unpack(root, "etc", layer(file("new/deep/file", b"x")), owner=(1, 2))
    for name in ("new", "new/deep", "new/deep/file"):
        status = (where / "etc" / name).stat()
        assert (status.st_uid, status.st_gid) == (1, 2)


def test_the_extraction_point(root: Root) -> None:
    with pytest.raises(InvalidArgument, match="not a directory: etc/passwd"):
        unpack(root, "etc/passwd", layer("x"))
    with pytest.raises(FileNotFoundError):
        unpack(root, "missing", layer("x"))
    unpack(root, "link", layer(directory("./", mode=0o700), "x"))
    assert root.stat("etc").st_mode & 0o777 == 0o755
    assert root.exists("etc/x")


def test_kinds_are_kept_on_request(root: Root, where: Path) -> None:
    strict: dict[str, Any] = {"no_overwrite_dir_non_dir": True}
    with pytest.raises(InvalidArgument, match='directory "/etc/conf" with non-directory "conf"'):
        unpack(root, "etc", layer("conf"), **strict)
    with pytest.raises(InvalidArgument, match='non-directory "/etc/passwd" with directory'):
        unpack(root, "etc", layer(directory("passwd")), **strict)
    unpack(root, "etc", layer(directory("conf"), file("passwd", b"new")), **strict)
    assert (where / "etc" / "passwd").read_text() == "new"
    unpack(root, "etc", layer("conf", directory("passwd")))
    assert names(where) == ["dead", "etc", "etc/conf", "etc/passwd", "link"]


def test_hard_links_stay_in_the_archive(root: Root, where: Path) -> None:
    unpack(root, "etc/conf", layer(file("one", b"x"), hard_link("two", "one")))
    assert (where / "etc/conf/one").stat().st_ino == (where / "etc/conf/two").stat().st_ino
    with pytest.raises(InvalidArgument, match="'stolen'"):
        unpack(root, "etc/conf", layer(hard_link("stolen", "/etc/passwd")))


def test_whiteouts_are_just_names_here(root: Root, where: Path) -> None:
    unpack(root, "etc", layer(".wh.passwd"))
    assert (where / "etc" / "passwd").exists()
    assert (where / "etc" / ".wh.passwd").exists()


def test_archives_may_be_compressed(root: Root) -> None:
    unpack(root, "/", io.BytesIO(gzip.compress(layer("from-gzip").getvalue())))
    assert root.exists("from-gzip")
    with pytest.raises(InvalidArgument, match="malformed tar"):
        unpack(root, "/", io.BytesIO(b"not an archive" * 100))


def test_symlinks_on_the_way_are_followed_inside(root: Root, where: Path) -> None:
    unpack(root, "/", layer(symlink("abs", "/etc/conf"), "abs/x", "dead/y"))
    assert (where / "etc" / "conf" / "x").exists()
    assert (where / "nowhere" / "y").exists()


def test_descriptions_of_paths(root: Root, where: Path) -> None:
    described = stat_path(root, "/etc/passwd")
    assert (described.name, described.size, described.link_target) == ("passwd", 4, "")
    assert described.mtime_ns == (where / "etc" / "passwd").stat().st_mtime_ns
    assert stat_path(root, "link").link_target == "/etc"
    assert stat_path(root, "dead").link_target == "/nowhere"
    assert stat_path(root, "link", follow=True).link_target == ""
    assert stat_path(root, "/").name == "/"
    assert evaluate(root, "/link/conf/../missing/x") == "etc/missing/x"
    with pytest.raises(FileNotFoundError):
        stat_path(root, "missing")
