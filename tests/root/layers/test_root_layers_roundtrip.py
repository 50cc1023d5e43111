"""Layers made from changes, put back where they came from, give the same tree."""

import hashlib
import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.root.layers.layers_trees import (
    Item,
    build,
    directory,
    file,
    hard_link,
    layer,
    symlink,
    tree,
)

from tiffin.errors import InvalidArgument
from tiffin.fs.copy import TreeCopy
from tiffin.fs.rooted import Root
from tiffin.fs.tar import TarReader
from tiffin.layers.apply import apply_layer
from tiffin.layers.changes import ChangeKind, changes
from tiffin.layers.diff import write_layer
from tiffin.linux.mounts import detached
from tiffin.snapshots.native import NativeSnapshotter
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.snapshots.snapshotter import Snapshotter
from tiffin.spec.digest import digest_bytes
from tiffin.spec.mount import Mount

pytestmark = pytest.mark.root


@contextmanager
def mounted(snapshotter: Snapshotter, key: str) -> Iterator[Path]:
    fd = detached(snapshotter.mounts(key))
    try:
        yield Path(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def import_layer(snapshotter: Snapshotter, name: str, parent: str, data: bytes) -> None:
    key = f"importing {name}"
    mounts = snapshotter.prepare(key, parent)
    applied = apply_layer(io.BytesIO(data), mounts, snapshotter.upper(key), snapshotter.lowers(key))
    assert applied.diff_id == digest_bytes(data)
    snapshotter.commit(name, key)


def export_layer(snapshotter: Snapshotter, key: str) -> bytes:
    sink = io.BytesIO()
    write_layer(sink, snapshotter.mounts(key), snapshotter.upper(key), snapshotter.lowers(key))
    return sink.getvalue()


def what_is_changed(snapshotter: Snapshotter, key: str) -> list[str]:
    found = changes(snapshotter.mounts(key), snapshotter.upper(key), snapshotter.lowers(key))
    return [f"{'CAD'[each.kind]} {each.path}" for each in found]


def see(snapshotter: Snapshotter, name: str) -> dict[str, tuple[object, ...]]:
    snapshotter.view(f"looking at {name}", name)
    with mounted(snapshotter, f"looking at {name}") as path:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
        seen = dict(tree(fd, times=False))
        os.close(fd)
    snapshotter.remove(f"looking at {name}")
    return seen


@pytest.fixture(params=[OverlaySnapshotter, NativeSnapshotter])
def snapshotter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Snapshotter]:
    made = request.param(tmp_path / "snapshots")
    yield made
    made.close()


BASE = layer(
    directory("etc"), file("etc/passwd", b"root"), file("etc/old", b"x"), directory("etc/conf.d"),
    file("etc/conf.d/a", b"a"), directory("var"), directory("var/log"), file("var/log/log", b"log"),
    symlink("bin", "usr/bin"), directory("usr"), directory("usr/bin"), file("usr/bin/sh", b"sh"),
    hard_link("usr/bin/bash", "usr/bin/sh"), directory("emptied"), file("emptied/x", b"x"),
).getvalue()  # fmt: skip


def change(root: Path) -> None:
    (root / "etc" / "passwd").write_text("root and more")
    (root / "etc" / "old").unlink()
    shutil.rmtree(root / "var" / "log")
    shutil.rmtree(root / "emptied")
    (root / "emptied").mkdir()
    (root / "emptied" / "new").write_text("new")
    (root / "usr" / "bin" / "sh").chmod(0o4755)
    (root / "srv" / "data").mkdir(parents=True)
    (root / "srv" / "data" / "file").write_bytes(b"y" * 5000)
    os.link(root / "srv" / "data" / "file", root / "srv" / "same")
    os.mknod(root / "srv" / "null", 0o020666, os.makedev(1, 3))
    (root / "bin").unlink()
    (root / "bin").mkdir()


def test_life_of_a_container(snapshotter: Snapshotter) -> None:
    import_layer(snapshotter, "base", "", BASE)
    snapshotter.prepare("container", "base")
    assert what_is_changed(snapshotter, "container") == []
    assert export_layer(snapshotter, "container") == bytes(1024)
    with mounted(snapshotter, "container") as root:
        change(root)
    listed = what_is_changed(snapshotter, "container")
    assert [each for each in listed if "/emptied" not in each and "bash" not in each] == [
        "C /bin", "C /etc", "D /etc/old", "C /etc/passwd", "A /srv", "A /srv/data",
        "A /srv/data/file", "A /srv/null", "A /srv/same", "C /usr", "C /usr/bin", "C /usr/bin/sh",
        "C /var", "D /var/log",
    ]  # fmt: skip
    assert "A /emptied/new" in listed

    data = export_layer(snapshotter, "container")
    assert data == export_layer(snapshotter, "container")
    names = [entry.name for entry in TarReader(io.BytesIO(data))]
    assert {"etc/.wh.old", "var/.wh.log"} <= set(names)
    assert len(names) == len(set(names))
    snapshotter.commit("changed", "container")
    import_layer(snapshotter, "again", "base", data)
    assert see(snapshotter, "again") == see(snapshotter, "changed")


def test_the_root_directory_is_in_the_layer_only_if_changed(snapshotter: Snapshotter) -> None:
    import_layer(snapshotter, "base", "", BASE)
    snapshotter.prepare("key", "base")
    with mounted(snapshotter, "key") as root:
        root.chmod(0o700)
    data = export_layer(snapshotter, "key")
    assert [entry.name for entry in TarReader(io.BytesIO(data))] == ["./"]
    import_layer(snapshotter, "again", "base", data)
    assert see(snapshotter, "again")[""][0] == oct(0o040700)


def test_sockets_are_left_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    build(tmp_path, ["file = x"])
    os.mknod(tmp_path / "socket", 0o140755)
    sink = io.BytesIO()
    assert write_layer(sink, (Mount("bind", str(tmp_path)),)) == 1


def test_sizes_of_digests(snapshotter: Snapshotter) -> None:
    import_layer(snapshotter, "base", "", BASE)
    snapshotter.prepare("key", "base")
    with mounted(snapshotter, "key") as root:
        (root / "big").write_bytes(b"z" * (3 << 20))
    data = export_layer(snapshotter, "key")
    assert (
        hashlib.sha256(data).hexdigest()
        == hashlib.sha256(export_layer(snapshotter, "key")).hexdigest()
    )


# Any two layers, in both forms

NAMES = ("a", "b", "dir", "x")
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
targets = st.sampled_from(["a", "b", "dir/x", "/dir", "..", "x/x", "missing", "/"])
items: st.SearchStrategy[Item] = st.one_of(
    st.builds(file, paths, st.sampled_from([b"", b"one", b"three"])),
    st.builds(directory, paths, mode=st.sampled_from([0o755, 0o700])),
    st.builds(symlink, paths, targets),
    st.builds(hard_link, paths, paths),
    paths.map(lambda path: "/".join([*path.split("/")[:-1], ".wh." + path.split("/")[-1]])),
    paths.map(lambda path: f"{path}/.wh..wh..opq"),
    st.just(".wh..wh..opq"),
)


@settings(
    deadline=None, max_examples=60, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(st.lists(st.lists(items, max_size=7), min_size=1, max_size=3))
def test_both_forms_mean_the_same(tmp_path: Path, layers: list[list[Item]]) -> None:
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    overlay = OverlaySnapshotter(tmp_path / "run" / "overlay")
    native = NativeSnapshotter(tmp_path / "run" / "native")
    try:
        parent = ""
        for number, entries in enumerate(layers):
            data = layer(*entries).getvalue()
            outcomes = []
            for each in (overlay, native):
                try:
                    import_layer(each, f"layer{number}", parent, data)
                except InvalidArgument as error:
                    outcomes.append(error.message)
                else:
                    outcomes.append("")
            assert bool(outcomes[0]) == bool(outcomes[1]), outcomes
            if outcomes[0]:
                return
            parent = f"layer{number}"
            assert see(overlay, parent) == see(native, parent)
            _check_export(overlay, number)
            _check_export(native, number)
    finally:
        overlay.close()
        native.close()


def _check_export(snapshotter: Snapshotter, number: int) -> None:
    """What a layer's snapshot exports is that layer, in other words."""
    name, below = f"layer{number}", f"layer{number - 1}" if number else ""
    snapshotter.prepare("export", below)
    upper, lowers = snapshotter.upper("export"), snapshotter.lowers("export")
    snapshotter.remove("export")
    stored = snapshotter.upper(name)
    sink = io.BytesIO()
    if stored is not None:
        write_layer(sink, (), stored, lowers)
    else:
        assert upper is None
        snapshotter.prepare("copy", name)
        write_layer(sink, snapshotter.mounts("copy"), None, lowers)
        snapshotter.remove("copy")
    import_layer(snapshotter, f"{name} again", below, sink.getvalue())
    assert see(snapshotter, f"{name} again") == see(snapshotter, name)


def test_copies_of_trees(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    import_into = apply_layer(io.BytesIO(BASE), (Mount("bind", str(source)),), None, ())
    assert import_into.size == len(BASE)
    with Root.at(source) as origin, Root.at(target) as goal:
        TreeCopy(origin, goal).copy("", "")
    assert tree(source) == tree(target)


def test_kinds_are_dockers() -> None:
    assert [kind.value for kind in ChangeKind] == [0, 1, 2]
