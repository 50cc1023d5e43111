import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.fs.rooted import CACHED_DIRECTORIES, Root, clean, remove_tree


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text("secret")
    return path


@pytest.fixture
def tree(tmp_path: Path, outside: Path) -> Path:
    path = tmp_path / "root"
    path.mkdir()
    (path / "dir").mkdir()
    (path / "dir" / "file").write_text("inside")
    (path / "up").symlink_to("../outside")
    (path / "absolute").symlink_to(outside)
    (path / "etc").symlink_to("/etc")
    (path / "dir" / "chain").symlink_to("../absolute")
    return path


@given(st.text("ab./", max_size=20))
def test_clean_paths_have_no_odd_parts(path: str) -> None:
    cleaned = clean(path)
    assert cleaned == os.path.normpath("/" + path).lstrip("/")
    assert clean(cleaned) == cleaned


def test_clean_refuses_nul() -> None:
    with pytest.raises(OSError, match="NUL"):
        clean("a\0b")


@pytest.mark.parametrize("way", ["up", "absolute", "dir/chain", "../outside", "dir/../../outside"])
def test_nothing_leads_out(tree: Path, outside: Path, way: str) -> None:
    with Root.at(tree) as root:
        for call in (
            lambda: root.open(f"{way}/secret", os.O_RDONLY),
            lambda: root.open(f"{way}/new", os.O_WRONLY | os.O_CREAT, 0o644),
            lambda: root.stat(f"{way}/secret"),
            lambda: root.stat(f"{way}/secret", follow=True),
            lambda: root.unlink(f"{way}/secret"),
            lambda: root.remove(f"{way}/secret"),
            lambda: root.mkdir(f"{way}/new"),
            lambda: root.symlink("x", f"{way}/new"),
            lambda: root.link("dir/file", f"{way}/new"),
            lambda: root.link(f"{way}/secret", "stolen"),
            lambda: root.rename("dir/file", f"{way}/new"),
            lambda: root.mknod(f"{way}/new", 0o010644),
            lambda: root.listdir(way),
            lambda: root.subroot(way),
        ):
            with pytest.raises(OSError):  # noqa: PT011  # which errno differs by call
                call()
    assert os.listdir(outside) == ["secret"]


def test_missing_directories_are_made_inside(tree: Path, outside: Path) -> None:
    with Root.at(tree) as root:
        assert root.mkdirs("a/b/c") == ["a", "a/b", "a/b/c"]
        assert root.mkdirs("a/b/c") == []
        made = root.mkdirs("absolute/x")
        assert made[-1] == "absolute/x"
        assert root.listdir("absolute") == ["x"]
        with pytest.raises(NotADirectoryError):
            root.mkdirs("dir/file/x")
    assert os.listdir(outside) == ["secret"]


def test_a_loop_of_dangling_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b/x")
    (tmp_path / "b").symlink_to("a/x")
    with Root.at(tmp_path) as root, pytest.raises(OSError, match="symbolic links"):
        root.mkdirs("a/c")


def test_a_replaced_directory_is_not_remembered(tree: Path, outside: Path) -> None:
    with Root.at(tree) as root:
        root.mkdirs("here/below")
        root.stat("here/below/x/..")
        root.remove("here")
        root.symlink("dir", "here")
        assert root.listdir("here") == ["chain", "file"]
        assert root.stat("here/file").st_size == 6
        root.unlink("here")
        root.mkdir("here")
        assert root.listdir("here") == []
        root.mkdir("other")
        root.mknod("other/x", 0o100644)
        root.locate("here/x")
        root.rename("here", "gone")
        root.rename("other", "here")
        assert root.exists("here/x")


def test_removing_does_not_follow(tree: Path, outside: Path) -> None:
    (tree / "dir" / "deep").mkdir()
    (tree / "dir" / "deep" / "up").symlink_to(outside)
    with Root.at(tree) as root:
        root.remove("dir")
        root.remove("up")
        root.remove("absolute")
        with pytest.raises(FileNotFoundError):
            root.remove("missing")
        with pytest.raises(IsADirectoryError):
            root.open(".", os.O_WRONLY)
    assert os.listdir(tree) == ["etc"]
    assert os.listdir(outside) == ["secret"]


def test_deep_trees_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    here = os.open(top, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=here)
        os.close(os.open("f", os.O_CREAT, dir_fd=here))
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(top)
    assert not os.listdir(tmp_path)
    remove_tree(top)
    remove_tree(tmp_path / "missing" / "too")


def test_descriptors_are_few_and_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Root.at(tmp_path) as root:
        for number in range(CACHED_DIRECTORIES * 3):
            root.mkdirs(f"{number}/x")
            root.locate(f"{number}/x/y")
        assert len(os.listdir("/proc/self/fd")) <= before + CACHED_DIRECTORIES + 1
        with root.subroot("0") as below:
            assert below.listdir("/") == ["x"]
        with Root.on(root.fd) as same:
            assert same.exists("5")
    assert len(os.listdir("/proc/self/fd")) == before


def test_resolve_and_readlink(tree: Path) -> None:
    (tree / "dir" / "link").symlink_to("/dir/file")
    with Root.at(tree) as root:
        assert root.resolve("dir/link") == "dir/file"
        assert root.resolve("/") == ""
        assert root.readlink("dir/link") == "/dir/file"
        assert root.stat("dir/link", follow=True).st_size == 6
        assert root.stat("").st_ino == tree.stat().st_ino
