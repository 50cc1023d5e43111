"""Removed images: they take their space until the trash lets go, and come back whole."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.api.filters import Filters
from tiffin.engine.trash.service import Limits, Trash
from tiffin.errors import NotFound
from tiffin.spec.digest import hex_of
from tiffin.spec.reference import parse_reference
from tiffin.state.retired import RetiredRecords
from tiffin.testing.image_lab import ONE, TWO, ServiceLab


class TrashLab(ServiceLab):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.trash = Trash(RetiredRecords(self.database), root, Limits())
        self.service._context.bin = self.trash
        self.trash.serve({"image": self.service.retired, "image-name": self.service.retired})


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[TrashLab]:
    lab = TrashLab(tmp_path / "lab")
    yield lab
    lab.close()


async def test_an_image_comes_back_with_its_names(lab: TrashLab) -> None:
    image = lab.put(TWO, "app:v1")
    kept = lab.put(ONE, "base:v1")
    blobs = lab.blobs()
    items = await lab.service.remove("app:v1")
    assert [item.deleted for item in items if item.deleted][1:] == [image.chain_id]
    with pytest.raises(NotFound):
        await lab.service.get("app:v1")
    await lab.service.collect()
    assert lab.blobs() == blobs
    report = await lab.trash.restore()
    assert [item.kind for item in report.restored] == ["image", "image-name"]
    assert await lab.service.get("app:v1") == image
    assert (await lab.trash.listing()).operations == []
    assert await lab.service.get("base:v1") == kept


async def test_destroying_frees_what_nobody_else_has(lab: TrashLab) -> None:
    lab.put(ONE, "base:v1")
    left = lab.blobs(), lab.snapshots()
    lab.put(TWO, "app:v1")
    promised = (
        await lab.service.prune(Filters({"dangling": ["false"], "label": ["no=1"]}))
    ).space_reclaimed
    assert promised == 0
    await lab.service.remove("app:v1")
    (operation,) = (await lab.trash.listing()).operations
    assert await lab.trash.empty() == operation.size > 0
    assert (lab.blobs(), lab.snapshots()) == left


async def test_a_restart_keeps_the_trash(lab: TrashLab, tmp_path: Path) -> None:
    image = lab.put(TWO, "app:v1")
    await lab.service.remove("app:v1")
    again = TrashLab(tmp_path / "lab")
    await again.service.recover(set())
    await again.trash.restore(names=["app:v1"])
    assert await again.service.get("app:v1") == image
    await again.service.remove("app:v1")
    await again.trash.empty()
    assert again.is_empty()
    again.close()


async def test_a_name_that_is_taken_stays_in_the_trash(lab: TrashLab) -> None:
    image = lab.put(TWO, "app:v1", "other:v1")
    await lab.service.remove("app:v1")
    lab.put(ONE, "app:v1")
    report = await lab.trash.restore()
    (failure,) = report.failed
    assert "app:v1 is the name of another image by now" in failure.message
    await lab.service.remove("app:v1", force=True)
    await lab.trash.restore(report.operation)
    assert await lab.service.get("app:v1") == image


async def test_one_of_two_removed_images_comes_back_by_id(lab: TrashLab) -> None:
    one, two = lab.put(ONE, "one:v1"), lab.put(TWO, "two:v1")
    await lab.service.prune(Filters({"dangling": ["false"]}))
    assert await lab.service.count() == 0
    await lab.trash.restore(kinds=["image", "image-name"], names=[hex_of(two.id)[:12]])
    assert await lab.service.get("two:v1") == two
    with pytest.raises(NotFound):
        await lab.service.get(one.id)


async def test_a_preview_says_what_a_prune_does(lab: TrashLab) -> None:
    lab.put(ONE, "one:v1")
    image = lab.put(TWO, "two:v1", "two:v2")
    lab.users.by_image[image.id] = [("c" * 64, False)]
    filters = Filters({"dangling": ["false"]})
    preview = await lab.service.preview_prune(filters)
    assert [item.deleted for item in preview.images_deleted or () if item.deleted] == [ONE.id]
    assert preview == await lab.service.prune(filters)
    with_container = await lab.service.preview_prune(filters, gone=["c" * 64])
    assert [i.untagged for i in with_container.images_deleted or () if i.untagged] == [
        "two:v1", "two:v2",
    ]  # fmt: skip
    lab.users.by_image.clear()
    assert with_container.space_reclaimed == (await lab.service.prune(filters)).space_reclaimed
    assert (await lab.service.preview_prune(filters)).images_deleted is None


async def test_pulling_a_removed_image_again_needs_no_trash(lab: TrashLab) -> None:
    lab.put(TWO, "app:v1")
    await lab.service.remove("app:v1")
    image = lab.put(TWO, "app:v1")
    await lab.trash.empty()
    assert await lab.service.get("app:v1") == image
    lab.store.unpacker.image(image)
    report = lab.store.find(parse_reference("app:v1"))
    assert report is not None
