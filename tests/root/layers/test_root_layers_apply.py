import gzip
import io
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.root.layers.layers_trees import (
    Item,
    build,
    directory,
    file,
    hard_link,
    layer,
    names,
    symlink,
    tree,
)  # fmt: skip

from tiffin.errors import InvalidArgument
from tiffin.fs import xattrs
from tiffin.fs.tar import Entry, EntryKind
from tiffin.layers.apply import Applied, Form, apply_layer, apply_to
from tiffin.linux.mounts import detached
from tiffin.spec.digest import digest_bytes
from tiffin.spec.mount import Mount

pytestmark = pytest.mark.root

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


def stacked(upper: Path, *lowers: Path) -> int:
    """Return a descriptor of the merged tree, mounted nowhere."""
    below = ":".join(map(str, lowers)) if lowers else str(upper)
    if not lowers:
        return detached([Mount("bind", str(upper), ("rbind", "ro"))])
    return detached([Mount("overlay", "overlay", ("ro", f"lowerdir={upper}:{below}"))])


def merged(upper: Path, *lowers: Path) -> dict[str, tuple[Any, ...]]:
    fd = stacked(upper, *lowers)
    try:
        return tree(fd, times=False)
    finally:
        os.close(fd)


class Place:
    """One lower tree and the two ways of putting a layer on it."""

    def __init__(self, tmp_path: Path) -> None:
        self.lower = tmp_path / "lower"
        self.upper = tmp_path / "upper"
        self.plain = tmp_path / "plain"
        for path in (self.lower, self.upper, self.plain):
            path.mkdir()

    def apply(self, *entries: Item) -> list[str]:
        """Apply both ways, check that the results look the same, and return the paths."""
        overlay = (Mount("overlay", "overlay"),)
        apply_layer(layer(*entries), overlay, self.upper, (self.lower,))
        apply_layer(layer(*entries), (Mount("bind", str(self.plain)),), None, ())
        seen = merged(self.upper, self.lower)
        assert seen == tree(self.plain, times=False)
        return sorted(path for path in seen if path)

    def below(self, *entries: str) -> None:
        build(self.lower, entries)
        build(self.plain, entries)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_everything_about_files_is_kept(tmp_path: Path) -> None:
    time = 1_600_000_000 * 10**9
    attributes = {"security.capability": CAPABILITY, "user.a": b"\0\xff", "trusted.t": b"t"}
    entries: list[Item] = [
        directory("./", mode=0o1777, mtime_ns=time),
        directory("d", mode=0o2750, uid=5, gid=6, mtime_ns=time, xattrs={"user.d": b"x"}),
        file("d/f", b"data" * 1000, mode=0o4755, uid=1, gid=2, mtime_ns=time + 5,
             xattrs=attributes),
        hard_link("d/same", "./d/../d/f"),
        symlink("link", "/etc/passwd", uid=7, gid=8, mtime_ns=time),
        Entry("null", EntryKind.CHARACTER, 0o666, major=1, minor=3, mtime_ns=time),
        Entry("disk", EntryKind.BLOCK, 0o660, gid=6, major=8, minor=1),
        Entry("fifo", EntryKind.FIFO, 0o600, mtime_ns=time),
        file("huge ids", uid=2**32 - 2, gid=3_000_000),
    ]  # fmt: skip
    data = layer(*entries).getvalue()
    for form in Form:
        out = tmp_path / form.value
        out.mkdir()
        applied = apply_to(io.BytesIO(gzip.compress(data)), out, form)
        assert applied == Applied(digest_bytes(data), len(data))
        status = (out / "d" / "f").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o4755, 1, 2)
        assert status.st_mtime_ns == time + 5
        assert (out / "d" / "same").stat().st_ino == status.st_ino
        assert xattrs.read(str(out / "d" / "f")) == attributes
        assert (out / "d").stat().st_mtime_ns == time
        assert stat.S_IMODE((out / "d").stat().st_mode) == 0o2750
        assert out.stat().st_mtime_ns == time
        assert stat.S_IMODE(out.stat().st_mode) == 0o1777
        link = (out / "link").lstat()
        assert (link.st_uid, link.st_gid, link.st_mtime_ns) == (7, 8, time)
        assert (out / "null").stat().st_rdev == os.makedev(1, 3)
        assert stat.S_IMODE((out / "null").stat().st_mode) == 0o666
        assert (out / "disk").is_block_device()
        assert (out / "fifo").is_fifo()
        assert (out / "huge ids").stat().st_uid == 2**32 - 2


def test_whiteouts(place: Place) -> None:
    place.below("a", "b", "dir/x", "dir/y", "gone/z/deep", "kept")
    seen = place.apply(".wh.a", "dir/.wh.x", ".wh.gone", ".wh.never-was", "dir/new")
    assert seen == ["b", "dir", "dir/new", "dir/y", "kept"]
    assert (place.upper / "a").is_char_device()


def test_opaque_directories(place: Place) -> None:
    place.below("dir/x", "dir/sub/y", "other/z")
    seen = place.apply(directory("dir"), "dir/.wh..wh..opq", "dir/new", "other/.wh..wh..opq")
    assert seen == ["dir", "dir/new", "other"]


@pytest.mark.parametrize("whiteout", ["dir/.wh..wh..opq", ".wh.dir"])
@pytest.mark.parametrize("position", range(4))
def test_whiteouts_never_touch_their_own_layer(place: Place, whiteout: str, position: int) -> None:
    place.below("dir/old", "dir/sub/old")
    entries: list[Item] = [directory("dir"), directory("dir/sub"), file("dir/sub/new", b"x")]
    entries.insert(position, whiteout)
    assert place.apply(*entries) == ["dir", "dir/sub", "dir/sub/new"]


def test_a_whiteout_beside_a_new_file(place: Place) -> None:
    place.below("a = old", "b = old")
    assert place.apply(".wh.a", file("a", b"new"), file("b", b"new"), ".wh.b") == ["a", "b"]


def test_kinds_replace_each_other(place: Place) -> None:
    place.below("file", "dir/x", "link -> dir", "dangling -> nowhere", "to-dir -> dir")
    seen = place.apply(
        directory("file"), "file/inside", file("dir", b"now a file"), directory("link"),
        "link/own", file("dangling", b"x"), file("to-dir", b"x"),
    )  # fmt: skip
    assert seen == ["dangling", "dir", "file", "file/inside", "link", "link/own", "to-dir"]


def test_later_entries_win(place: Place) -> None:
    seen = place.apply(
        "a", directory("a"), "a/x", symlink("a", "b"), directory("b"), "a/through-link", "b/y",
        file("b", b"at last a file"),
    )  # fmt: skip
    assert seen == ["a", "b"]


def test_parents_that_the_layer_leaves_out(place: Place) -> None:
    place.below("tmp/", "lib -> usr/lib", "usr/lib/old", "abs -> /usr", "file = x")
    for base in (place.lower, place.plain):
        (base / "tmp").chmod(0o1777)
        (base / "usr").chmod(0o750)
        os.setxattr(base / "usr", "user.note", b"n")
    seen = place.apply("tmp/x", "lib/new", "abs/share/doc", "brand/new/path", "lib/.wh.old")
    assert seen == [
        "abs", "brand", "brand/new", "brand/new/path", "file", "lib", "tmp", "tmp/x", "usr",
        "usr/lib", "usr/lib/new", "usr/share", "usr/share/doc",
    ]  # fmt: skip
    assert stat.S_IMODE((place.upper / "tmp").stat().st_mode) == 0o1777
    assert not (place.upper / "lib").exists()


def test_a_link_in_the_layer_to_a_directory_below(place: Place) -> None:
    place.below("usr/lib/old")
    assert "usr/lib/new" in place.apply(symlink("lib", "usr/lib"), "lib/new")


def test_links_to_files_below_are_copied_up(place: Place) -> None:
    place.below("dir/old = text", "link -> dir")
    seen = place.apply(hard_link("new", "dir/old"), hard_link("too", "link/old"))
    assert seen == ["dir", "dir/old", "link", "new", "too"]
    status = (place.upper / "new").stat()
    assert status.st_ino == (place.upper / "dir" / "old").stat().st_ino
    assert status.st_nlink == 3


def test_links_do_not_see_what_is_whited_out(place: Place) -> None:
    place.below("old", "dir/x")
    for target in ("old", "dir/x", "missing", "."):
        for where in ((Mount("overlay", "o"),), place.upper, (place.lower,)), (
            (Mount("bind", str(place.plain)),), None, (),
        ):  # fmt: skip
            with pytest.raises(InvalidArgument, match="tar entry 'new'"):
                apply_layer(layer(".wh.old", "dir/.wh..wh..opq", hard_link("new", target)), *where)


def test_a_link_onto_itself_keeps_the_file(place: Place) -> None:
    assert place.apply(file("a", b"x"), hard_link("a", "/a")) == ["a"]
    assert (place.plain / "a").read_bytes() == b"x"


def test_a_link_to_nothing_keeps_what_it_would_replace(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="'a'"):
        apply_to(layer(file("a", b"x"), hard_link("a", "b")), tmp_path, Form.PLAIN)
    assert (tmp_path / "a").read_bytes() == b"x"


def test_reserved_names_are_left_out(place: Place) -> None:
    assert place.apply(".wh..wh.aufs", directory(".wh..wh.plnk"), ".wh.", "x") == ["x"]


def test_an_archive_cannot_forge_overlays_own_attributes(tmp_path: Path) -> None:
    forged = {
        "trusted.overlay.redirect": b"/etc", "trusted.overlay.opaque": b"y",
        "trusted.overlay.metacopy": b"", "user.overlay.opaque": b"y", "security.selinux": b"x",
    }  # fmt: skip
    apply_to(
        layer(directory("d", xattrs=forged), Entry("f", xattrs=forged)), tmp_path, Form.OVERLAY
    )
    assert os.listxattr(tmp_path / "d") == os.listxattr(tmp_path / "f") == []


def test_attributes_that_cannot_be_are_reported(tmp_path: Path) -> None:
    applied = apply_to(layer(symlink("l", "x", xattrs={"user.a": b"b"})), tmp_path, Form.PLAIN)
    assert applied.dropped_xattrs == {"user.a"}


def test_many_layers_below(tmp_path: Path) -> None:
    lowers = []
    for number in range(5):
        lower = tmp_path / f"lower{number}"
        build(lower, ["dir/", f"dir/{number}"])
        (lower / "dir").chmod(0o700 + number)
        lowers.append(lower)
    os.setxattr(lowers[2] / "dir", "trusted.overlay.opaque", b"y")
    upper = tmp_path / "upper"
    upper.mkdir()
    apply_layer(layer("dir/new", hard_link("link", "dir/2")), (), upper, lowers)
    assert stat.S_IMODE((upper / "dir").stat().st_mode) == 0o700
    with pytest.raises(InvalidArgument):
        apply_layer(layer(hard_link("link", "dir/3")), (), upper, lowers)


@pytest.mark.parametrize(
    "bad",
    [
        Entry("a" * 300),
        Entry("d/" * 2100 + "x"),
        Entry("file/below"),
        Entry("dev", EntryKind.CHARACTER, major=1 << 20),
        Entry("dev", EntryKind.CHARACTER, minor=1 << 40),
        Entry("uid", uid=2**32 - 1),
        Entry("gid", gid=2**60),
        symlink("empty", ""),
        symlink("long", "x" * 5000),
        hard_link("to-dir", "dir"),
    ],
)
def test_what_cannot_be_names_its_entry(tmp_path: Path, bad: Entry) -> None:
    for form in Form:
        out = tmp_path / form.value
        out.mkdir()
        with pytest.raises(InvalidArgument) as caught:
            apply_to(layer("file", directory("dir"), bad), out, form)
        assert bad.name[:20] in caught.value.message


def test_times_that_cannot_be(tmp_path: Path) -> None:
    for number, seconds in enumerate((10**19 - 1, -(2**63), 2**63)):
        out = tmp_path / str(number)
        out.mkdir()
        when = seconds * 10**9
        bad = [
            directory("d", mtime_ns=when), Entry("f", mtime_ns=when),
            symlink("s", "x", mtime_ns=when),
        ]  # fmt: skip
        apply_to(layer(*bad), out, Form.OVERLAY)
        assert [os.lstat(out / name).st_mtime for name in "dfs"] == [0, 0, 0]


def test_a_cut_layer(tmp_path: Path) -> None:
    data = layer(file("a", bytes(100_000)), "b").getvalue()
    with pytest.raises(InvalidArgument, match="unexpected end"):
        apply_to(io.BytesIO(data[:50_000]), tmp_path, Form.OVERLAY)


def test_what_follows_the_end_mark_counts_for_the_digest(tmp_path: Path) -> None:
    data = layer("a").getvalue() + bytes(9000) + b"tail"
    applied = apply_to(io.BytesIO(data), tmp_path, Form.OVERLAY)
    assert (applied.diff_id, applied.size) == (digest_bytes(data), len(data))
    assert names(tmp_path) == ["a"]
