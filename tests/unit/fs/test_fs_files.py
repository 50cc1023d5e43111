import os
import subprocess
from pathlib import Path

import pytest

from tiffin.fs import atomic, usage, xattrs
from tiffin.fs.copy import CopyOptions, TreeCopy, copy_data
from tiffin.fs.locks import locked, try_lock
from tiffin.fs.rooted import Root
from tiffin.fs.usage import Allocation, measure


@pytest.mark.parametrize("durable", [True, False])
def test_writes_replace(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    for data in (b"one", b"two" * 10000):
        atomic.write(path, data, mode=0o600, durable=durable)
        assert path.read_bytes() == data
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == ["file"]


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        atomic.write(tmp_path / "taken", b"x")
    assert os.listdir(tmp_path) == ["taken"]


def test_locks_exclude(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"):
        with pytest.raises(BlockingIOError), locked(tmp_path / "lock", wait=False):
            pass
        with (tmp_path / "lock").open() as other:
            assert not try_lock(other.fileno())
    with locked(tmp_path / "lock", wait=False):
        pass


def test_copies_keep_holes_and_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(10 << 20)
        for offset in (0, 3 << 20, (9 << 20) + 5):
            file.seek(offset)
            file.write(b"data")
    with source.open("rb") as reading, (tmp_path / "copy").open("wb") as writing:
        copy_data(reading.fileno(), writing.fileno())
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert (tmp_path / "copy").stat().st_blocks * 512 < 1 << 20


def test_trees_are_copied_and_merged(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "d" / "e").mkdir(parents=True)
    (source / "d" / "file").write_text("new")
    os.link(source / "d" / "file", source / "d" / "e" / "same")
    (source / "d" / "link").symlink_to("/etc/passwd")
    os.mkfifo(source / "d" / "fifo", 0o640)
    (source / "d").chmod(0o2750)
    os.setxattr(source / "d" / "file", "user.a", b"b")
    for each in (source / "d" / "file", source / "d" / "e", source / "d"):
        os.utime(each, ns=(5, 10**18 + 7))
    (target / "d" / "file").mkdir(parents=True)
    (target / "d" / "kept").write_text("kept")
    (target / "d" / "e").write_text("in the way")
    with Root.at(source) as origin, Root.at(target) as goal:
        TreeCopy(origin, goal).copy("d", "d")
    copy = target / "d"
    assert sorted(os.listdir(copy)) == ["e", "fifo", "file", "kept", "link"]
    assert (copy / "file").read_text() == "new"
    assert (copy / "e" / "same").stat().st_ino == (copy / "file").stat().st_ino
    assert os.readlink(copy / "link") == "/etc/passwd"
    assert (copy / "fifo").is_fifo()
    assert os.getxattr(copy / "file", "user.a") == b"b"
    for name in ("d", "d/e", "d/file", "d/fifo"):
        ours, theirs = (tmp_path / side / name for side in ("target", "source"))
        assert ours.stat().st_mode == theirs.stat().st_mode
        assert ours.stat().st_mtime_ns == theirs.stat().st_mtime_ns


def test_copies_can_change_mode_and_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with Root.at(tmp_path) as root:
        TreeCopy(root, root, CopyOptions(mode=0o400, mtime_ns=10**9)).copy("file", "copy")
    status = (tmp_path / "copy").stat()
    assert (status.st_mode & 0o7777, status.st_mtime_ns) == (0o400, 10**9)


def test_usage_counts_links_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 10)
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "l").symlink_to("12345")
    assert measure(tmp_path) == (15, 4)
    with pytest.raises(FileNotFoundError):
        measure(tmp_path / "missing")


def test_attributes_of_the_host_do_not_travel() -> None:
    travelling = ["user.x", "trusted.x", "security.capability", "system.posix_acl_access"]
    staying = ["security.selinux", "trusted.overlay.opaque", "user.overlay.redirect", "system.nfs4"]
    assert all(map(xattrs.travels, travelling))
    assert not any(map(xattrs.travels, staying))


def test_usage_follows_no_link_that_appears_meanwhile(tmp_path: Path) -> None:
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    (tree / "d").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("12345")
    walk = usage._below(tree)
    next(walk)
    (tree / "d").rmdir()
    (tree / "d").symlink_to(outside)
    assert list(walk) == []


def test_usage_leaves_out_what_is_too_deep_for_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 10)
    here, name = os.open(tmp_path, os.O_RDONLY), "d" * 200
    for _ in range(25):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    size, inodes = measure(tmp_path)
    assert size == 10
    assert inodes > 10
    Allocation().of(tmp_path)
    subprocess.run(["rm", "-r", str(tmp_path / name)], check=True)
