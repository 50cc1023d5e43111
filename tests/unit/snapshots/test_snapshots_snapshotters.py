import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.errors import Conflict, NotFound
from tiffin.snapshots.native import NativeSnapshotter
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.snapshots.snapshotter import Kind, Snapshotter, Usage
from tiffin.testing.snapshotter_contract import SnapshotterContract


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[OverlaySnapshotter]:
    snapshotter = OverlaySnapshotter(tmp_path / "a:b,c\\d")
    yield snapshotter
    snapshotter.close()


@pytest.fixture
def native(tmp_path: Path) -> Iterator[NativeSnapshotter]:
    snapshotter = NativeSnapshotter(tmp_path / "snapshots")
    yield snapshotter
    snapshotter.close()


class TestOverlay(SnapshotterContract):
    @pytest.fixture
    def snapshotter(self, overlay: OverlaySnapshotter) -> Snapshotter:
        return overlay

    def test_mounts_name_layers_from_the_top(self, overlay: OverlaySnapshotter) -> None:
        self.stack(overlay, 3)
        (mount,) = overlay.prepare("key", "layer2")
        lowers = overlay.lowers("key")
        assert len(lowers) == 3
        escaped = [str(each).replace("\\", "\\\\").replace(":", "\\:") for each in lowers]
        assert "lowerdir=" + ":".join(escaped) in mount.options
        upper = overlay.upper("key")
        assert f"upperdir={upper}" in mount.options
        overlay.commit("layer3", "key")
        assert overlay.upper("layer3") == upper
        overlay.prepare("next", "layer3")
        assert overlay.lowers("next") == (upper, *lowers)

    def test_the_root_directory_keeps_its_mode(self, overlay: OverlaySnapshotter) -> None:
        overlay.prepare("key")
        upper = overlay.upper("key")
        assert upper is not None
        upper.chmod(0o1750)
        overlay.commit("layer", "key")
        overlay.prepare("key", "layer")
        upper = overlay.upper("key")
        assert upper is not None
        assert upper.stat().st_mode & 0o7777 == 0o1750

    def test_usage(self, overlay: OverlaySnapshotter) -> None:
        overlay.prepare("key")
        upper = overlay.upper("key")
        assert upper is not None
        (upper / "d").mkdir()
        (upper / "d" / "file").write_bytes(b"x" * 1000)
        os.link(upper / "d" / "file", upper / "link")
        assert overlay.usage("key") == Usage(1000, 3)
        overlay.commit("layer", "key")
        assert overlay.usage("layer") == Usage(1000, 3)
        overlay.prepare("key", "layer")
        assert overlay.usage("key") == Usage(0, 1)


class TestNative(SnapshotterContract):
    @pytest.fixture
    def snapshotter(self, native: NativeSnapshotter) -> Snapshotter:
        return native

    def test_children_are_copies(self, native: NativeSnapshotter) -> None:
        (mount,) = native.prepare("key")
        Path(mount.source, "file").write_text("one")
        native.commit("layer", "key")
        (child,) = native.prepare("key", "layer")
        Path(child.source, "file").write_text("two")
        (view,) = native.view("view", "layer")
        assert Path(view.source, "file").read_text() == "one"
        assert native.upper("key") is None
        assert native.lowers("key") == (Path(mount.source),)


def test_snapshots_survive_their_snapshotter(tmp_path: Path) -> None:
    first = OverlaySnapshotter(tmp_path)
    first.prepare("key")
    first.commit("layer", "key")
    mounts = first.prepare("active", "layer")
    seen = list(first.walk())
    second = OverlaySnapshotter(tmp_path)  # as after a kill: nothing was closed
    assert list(second.walk()) == seen
    assert second.mounts("active") == mounts
    assert second.recover({"active"}) == []
    second.close()
    first.close()


def test_strays_and_rows_without_directory_are_dropped(tmp_path: Path) -> None:
    snapshotter = OverlaySnapshotter(tmp_path)
    snapshotter.prepare("key")
    snapshotter.commit("layer", "key")
    snapshotter.prepare("gone", "layer")
    upper = snapshotter.upper("gone")
    assert upper is not None
    upper.parent.rename(tmp_path / "stray")
    assert snapshotter.recover() == ["gone"]
    assert not (tmp_path / "stray").exists()
    assert [info.name for info in snapshotter.walk()] == ["layer"]
    snapshotter.close()


def test_what_a_power_cut_may_have_torn_is_dropped(tmp_path: Path) -> None:
    snapshotter = OverlaySnapshotter(tmp_path)
    snapshotter.prepare("key")
    snapshotter.commit("settled", "key")
    snapshotter.settle()
    snapshotter.prepare("key", "settled")
    snapshotter.commit("torn", "key")
    snapshotter.prepare("on top", "torn")
    snapshotter.prepare("container", "settled")
    snapshotter.close()

    rebooted = OverlaySnapshotter(tmp_path)
    rebooted._catalogue.boot = "another"
    upper = rebooted.upper("on top")
    assert rebooted.recover({"on top", "container"}) == ["torn"]
    assert {info.name for info in rebooted.walk()} == {"settled", "container", "on top"}
    with pytest.raises(NotFound):
        rebooted.mounts("on top")
    rebooted.prepare("key", "settled")
    rebooted.commit("torn", "key")  # the layer is applied again
    assert rebooted.mounts("on top")
    assert rebooted.upper("on top") == upper
    with pytest.raises(Conflict):
        rebooted.remove("torn")
    rebooted.remove("on top")
    rebooted.remove("torn")
    rebooted.close()


def test_rows_that_a_power_cut_took_are_read_from_the_directories(tmp_path: Path) -> None:
    snapshotter = OverlaySnapshotter(tmp_path)
    snapshotter.prepare("key")
    snapshotter.commit("layer", "key")
    for key in ("container", "forgotten"):
        snapshotter.prepare(key, "layer")
    upper = snapshotter.upper("container")
    assert upper is not None
    (upper / "database").write_text("synced by its container")
    for key in ("container", "forgotten"):
        snapshotter._catalogue.drop(snapshotter._catalogue.get(key))
    snapshotter.close()
    again = OverlaySnapshotter(tmp_path)
    assert again.recover({"container"}) == []
    assert {info.name for info in again.walk()} == {"layer", "container"}
    assert again.upper("container") == upper
    assert (upper / "database").read_text() == "synced by its container"
    assert again.stat("container").parent == "layer"
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 2
    again.close()


def test_commits_are_settled_in_the_background(tmp_path: Path) -> None:
    snapshotter = OverlaySnapshotter(tmp_path, settle_delay_s=0)
    for name in ("one", "two"):
        snapshotter.prepare("key")
        snapshotter.commit(name, "key")
    while settling := snapshotter._settling:
        settling.join()
    assert not snapshotter._catalogue.unsettled()
    assert snapshotter.stat("one").kind is Kind.COMMITTED
    snapshotter.close()
    again = OverlaySnapshotter(tmp_path)
    assert not again._catalogue.unsettled()
    again.close()
