# ruff: noqa: D102  # the name of a test says what it shows
"""What every snapshotter must do; subclass it and give a `snapshotter` fixture."""

from collections.abc import Sequence

import pytest

from tiffin.errors import AlreadyExists, Conflict, NotFound
from tiffin.snapshots.snapshotter import Kind, SnapshotInfo, Snapshotter, Usage
from tiffin.spec.mount import Mount


def is_writable(mounts: Sequence[Mount]) -> bool:
    """Tell whether a list of mounts as a whole can be written to."""
    return "ro" not in mounts[0].options and not (
        mounts[0].fstype == "overlay"
        and not any(option.startswith("upperdir=") for option in mounts[0].options)
    )


class SnapshotterContract:
    """The suite; it needs no privileges."""

    def test_life_of_a_layer(self, snapshotter: Snapshotter) -> None:
        mounts = snapshotter.prepare("key")
        assert is_writable(mounts)
        assert snapshotter.mounts("key") == mounts
        assert snapshotter.stat("key").kind is Kind.ACTIVE
        snapshotter.commit("layer", "key")
        info = snapshotter.stat("layer")
        assert (info.name, info.parent, info.kind) == ("layer", "", Kind.COMMITTED)
        for gone in ("key", "other"):
            with pytest.raises(NotFound, match=gone):
                snapshotter.stat(gone)
        with pytest.raises(NotFound):
            snapshotter.mounts("layer")

    def test_children(self, snapshotter: Snapshotter) -> None:
        self.stack(snapshotter, 3)
        mounts = snapshotter.prepare("child", "layer2")
        assert is_writable(mounts)
        assert snapshotter.mounts("child") == mounts
        assert snapshotter.stat("child").parent == "layer2"
        assert len(snapshotter.lowers("child")) >= 1

    def test_views_are_read_only(self, snapshotter: Snapshotter) -> None:
        self.stack(snapshotter, 2)
        for parent in ("layer0", "layer1"):
            mounts = snapshotter.view(f"view of {parent}", parent)
            assert not is_writable(mounts)
            assert snapshotter.mounts(f"view of {parent}") == mounts
            assert snapshotter.stat(f"view of {parent}").kind is Kind.VIEW
            assert snapshotter.usage(f"view of {parent}") == Usage(0, 0)
            with pytest.raises(Conflict):
                snapshotter.commit("x", f"view of {parent}")

    def test_names_are_unique(self, snapshotter: Snapshotter) -> None:
        self.stack(snapshotter, 1)
        snapshotter.prepare("key", "layer0")
        for taken in ("key", "layer0"):
            with pytest.raises(AlreadyExists, match=taken):
                snapshotter.prepare(taken)
            with pytest.raises(AlreadyExists, match=taken):
                snapshotter.view(taken, "layer0")
        with pytest.raises(AlreadyExists):
            snapshotter.commit("layer0", "key")
        assert snapshotter.stat("key").kind is Kind.ACTIVE

    def test_parents_must_be_committed(self, snapshotter: Snapshotter) -> None:
        snapshotter.prepare("active")
        for parent in ("active", "missing"):
            with pytest.raises(NotFound, match=parent):
                snapshotter.prepare("key", parent)
            with pytest.raises(NotFound, match=parent):
                snapshotter.view("key", parent)
        assert [info.name for info in snapshotter.walk()] == ["active"]
        with pytest.raises(NotFound):
            snapshotter.view("key", "")

    def test_missing_ones(self, snapshotter: Snapshotter) -> None:
        for call in (
            snapshotter.stat, snapshotter.usage, snapshotter.mounts, snapshotter.remove,
            snapshotter.upper, snapshotter.lowers,
        ):  # fmt: skip
            with pytest.raises(NotFound, match="missing"):
                call("missing")
        with pytest.raises(NotFound, match="missing"):
            snapshotter.commit("layer", "missing")

    def test_parents_stay_while_they_have_children(self, snapshotter: Snapshotter) -> None:
        self.stack(snapshotter, 2)
        snapshotter.view("view", "layer1")
        for used in ("layer0", "layer1"):
            with pytest.raises(Conflict, match=used):
                snapshotter.remove(used)
        for name in ("view", "layer1", "layer0"):
            snapshotter.remove(name)
        assert not list(snapshotter.walk())

    def test_walk_yields_parents_first(self, snapshotter: Snapshotter) -> None:
        self.stack(snapshotter, 5)
        snapshotter.prepare("active", "layer3")
        seen: list[SnapshotInfo] = []
        for info in snapshotter.walk():
            assert not info.parent or info.parent in [each.name for each in seen]
            seen.append(info)
        assert len(seen) == 6

    def test_recover_keeps_what_is_known(self, snapshotter: Snapshotter) -> None:
        self.stack(snapshotter, 2)
        for key in ("known", "unknown"):
            snapshotter.prepare(key, "layer1")
        snapshotter.view("forgotten", "layer0")
        assert snapshotter.recover() == []
        assert sorted(snapshotter.recover({"known"})) == ["forgotten", "unknown"]
        assert {info.name for info in snapshotter.walk()} == {"layer0", "layer1", "known"}

    def stack(self, snapshotter: Snapshotter, height: int) -> None:
        """Commit `layer0`, `layer1` … each on the one before."""
        parent = ""
        for number in range(height):
            snapshotter.prepare("building", parent)
            parent = f"layer{number}"
            snapshotter.commit(parent, "building")
