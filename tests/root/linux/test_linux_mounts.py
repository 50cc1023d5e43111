"""Mounts given as values, on the real kernel."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.linux import mounts
from tiffin.linux.mount_api import MNT_DETACH, umount2
from tiffin.spec.mount import Mount

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    before = sorted(os.listdir("/proc/self/fd"))
    yield
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert sorted(os.listdir("/proc/self/fd")) == before


def entries(fd: int, path: str = "") -> list[str]:
    return sorted(os.listdir(f"/proc/self/fd/{fd}/{path}"))


def overlay(tmp_path: Path, layers: list[Path]) -> Mount:
    for name in ("upper", "work"):
        (tmp_path / name).mkdir(exist_ok=True)
    escaped = [str(path).replace("\\", "\\\\").replace(":", "\\:") for path in layers]
    words = (
        f"lowerdir={':'.join(escaped)}",
        f"upperdir={tmp_path / 'upper'}",
        f"workdir={tmp_path / 'work'}",
    )
    return Mount("overlay", "overlay", words)


def make_layers(tmp_path: Path, count: int) -> list[Path]:
    layers = []
    for number in range(count):
        layer = tmp_path / f"layer{number}" / ("x" * 100)
        layer.mkdir(parents=True)
        (layer / f"file{number}").write_text(str(number))
        (layer / "common").write_text(str(number))
        layers.append(layer)
    return layers


@pytest.mark.parametrize("appending", [True, False])
def test_an_overlay_of_many_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, appending: bool
) -> None:
    if not appending:
        monkeypatch.setattr(mounts, "can_append_layers", lambda: False)
    layers = make_layers(tmp_path, 100)
    fd = mounts.detached([overlay(tmp_path, layers)])
    try:
        assert len(entries(fd)) == 101
        assert Path(f"/proc/self/fd/{fd}/common").read_text() == "0"
        Path(f"/proc/self/fd/{fd}/new").write_text("new")
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    finally:
        os.close(fd)
    assert (tmp_path / "upper/new").read_text() == "new"


def test_directories_with_odd_names(tmp_path: Path) -> None:
    layers = [tmp_path / name for name in ("a:b", "c,d", "e\\f", "g h", "=")]
    for number, layer in enumerate(layers):
        layer.mkdir()
        (layer / f"file{number}").touch()
    fd = mounts.detached([overlay(tmp_path, layers)])
    assert entries(fd) == [f"file{number}" for number in range(5)]
    os.close(fd)


def test_a_detached_mount_vanishes(tmp_path: Path) -> None:
    fd = mounts.detached([Mount("tmpfs", "tmpfs", ("size=1m", "mode=700"))])
    Path(f"/proc/self/fd/{fd}/x").touch()
    assert entries(fd) == ["x"]
    os.close(fd)


def test_a_detached_tree(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/hidden").touch()
    parts = [Mount("bind", str(tmp_path), ("ro",)), Mount("tmpfs", "t", (), "sub")]
    fd = mounts.detached(parts)
    assert entries(fd) == ["sub"]
    assert entries(fd, "sub") == []
    with pytest.raises(OSError, match="Read-only"):
        Path(f"/proc/self/fd/{fd}/x").touch()
    os.close(fd)
    assert (tmp_path / "sub/hidden").exists()


def test_performed_mounts_and_their_attributes(tmp_path: Path) -> None:
    (tmp_path / "at").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/file").touch()
    mounts.perform([Mount("tmpfs", "box", ("nosuid", "noatime", "size=1m"))], str(tmp_path / "at"))
    (tmp_path / "at/in").mkdir()
    bind = Mount("bind", str(tmp_path / "data"), ("rbind", "ro", "nodev"), "in")
    mounts.perform([bind], str(tmp_path / "at"))
    try:
        lines = [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if str(tmp_path) in line
        ]  # fmt: skip
        assert "rw,nosuid,noatime" in lines[0]
        assert "size=1024k" in lines[0]
        assert "ro,nodev" in lines[1]
        assert (tmp_path / "at/in/file").exists()
    finally:
        umount2(tmp_path / "at", MNT_DETACH)


def test_a_list_that_fails_is_undone(tmp_path: Path) -> None:
    (tmp_path / "at").mkdir()
    bad = Mount("bind", str(tmp_path / "none"), ("bind",))
    with pytest.raises(FileNotFoundError, match="none"):
        mounts.perform([Mount("tmpfs", "one"), Mount("tmpfs", "two"), bad], str(tmp_path / "at"))


def test_targets_stay_inside(tmp_path: Path) -> None:
    (tmp_path / "at").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "at/link").symlink_to(tmp_path / "outside")
    (tmp_path / "at/up").symlink_to("../outside")
    for target in ("link", "up", "../outside"):
        with pytest.raises(OSError, match=r"No such file|Errno 2"):
            mounts.perform([Mount("tmpfs", "t", (), target)], str(tmp_path / "at"))


def test_the_kernel_says_what_it_did_not_understand(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Unknown parameter 'colour'") as caught:
        mounts.detached([Mount("tmpfs", "t", ("colour=red",))])
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError, match="nonesuch"):
        mounts.detached([Mount("nonesuch", "t")])


def test_a_subpath_stays_inside_its_source(tmp_path: Path) -> None:
    (tmp_path / "volume/a").mkdir(parents=True)
    (tmp_path / "volume/a/file").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "volume/out").symlink_to(tmp_path / "outside")
    (tmp_path / "volume/in").symlink_to("/a")
    for subpath, found in (("a", ["file"]), ("in", ["file"]), ("../volume/a", None), ("out", None)):
        item = Mount("bind", str(tmp_path / "volume"), ("rbind", f"x-subpath={subpath}"))
        if found is None:
            with pytest.raises(FileNotFoundError):
                mounts.detached([item])
            continue
        fd = mounts.detached([item])
        assert entries(fd) == found
        os.close(fd)
