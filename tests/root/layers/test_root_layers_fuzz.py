"""Layers that are almost right, in both forms: nothing outside changes, errors are ours."""

import io
import random
from pathlib import Path

import pytest
from tests.root.layers.layers_trees import Item, directory, file, hard_link, layer, symlink, tree

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.fs.rooted import Root
from tiffin.fs.tar import Entry, EntryKind
from tiffin.layers.apply import Form, apply_to
from tiffin.layers.archive import unpack
from tiffin.testing.mutations import mutate

pytestmark = pytest.mark.root

ITEMS: list[Item] = [
    directory("d", mode=0o2755), file("d/a", b"some data " * 60), symlink("l", "d"),
    hard_link("h", "d/a"), file("n" * 150 + "/" + "m" * 120, b"x"), ".wh.gone", "low/.wh..wh..opq",
    Entry("null", EntryKind.CHARACTER, major=1, minor=3), Entry("pipe", EntryKind.FIFO),
    file("l/through", b"y", xattrs={"user.key": b"value\xff"}), file("d/a", b"again"),
    file("café \n", b"z"), symlink("out", "../outside"), file("out/w", b"q"),
]  # fmt: skip


@pytest.mark.parametrize("form", ["overlay", "plain", "copy"])
def test_nothing_outside_changes(tmp_path: Path, form: str) -> None:
    outside, lower = tmp_path / "outside", tmp_path / "lower"
    outside.mkdir()
    lower.mkdir()
    (outside / "x").write_text("intact")
    (lower / "low").mkdir()
    (lower / "d").symlink_to(outside)
    before = tree(outside), tree(lower)
    data, dice = layer(*ITEMS).getvalue(), random.Random(form)
    refused = 0
    for turn in range(150):
        root = tmp_path / f"root{turn}"
        root.mkdir()
        stream = io.BytesIO(mutate(data, dice))
        try:
            if form == "copy":
                with Root.at(root) as confined:
                    unpack(confined, "", stream)
            elif form == "plain":
                (root / "d").symlink_to(outside)
                apply_to(stream, root, Form.PLAIN)
            else:
                apply_to(stream, root, Form.OVERLAY, [lower])
        except (InvalidArgument, FailedPrecondition):
            refused += 1
        assert (tree(outside), tree(lower)) == before, turn
    assert refused > 30
    assert {path.name for path in tmp_path.iterdir()} - {"outside", "lower"} == {
        f"root{turn}" for turn in range(150)
    }
