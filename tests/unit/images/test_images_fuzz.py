"""Archives that are almost right: an error that says so, or an image, and nothing else is left."""

import bz2
import gzip
import lzma
import random
from contextlib import suppress

import pytest
import zstandard

from tiffin.errors import DataLoss, InvalidArgument
from tiffin.images.archive import take_in
from tiffin.layers import bounds
from tiffin.layers.bounds import bounded
from tiffin.spec.descriptor import OCI_INDEX, Descriptor
from tiffin.spec.digest import digest_bytes, hex_of
from tiffin.spec.image import Index
from tiffin.spec.platform import Platform
from tiffin.testing.image_lab import BASE, ONE, TOP, TWO, Lab
from tiffin.testing.mutations import mutate
from tiffin.testing.sample_images import SampleImage, archive, docker_members, layout_members

FOREIGN = SampleImage((BASE, TOP), platform=Platform("linux", "s390x"))


def several_platforms() -> bytes:
    index = Index((TWO.descriptor, FOREIGN.descriptor)).encode()
    members = layout_members([TWO, FOREIGN])
    members[f"blobs/sha256/{hex_of(digest_bytes(index))}"] = index
    name = {"io.containerd.image.name": "docker.io/library/multi:1"}
    entry = Descriptor(OCI_INDEX, digest_bytes(index), len(index), annotations=name)
    members["index.json"] = Index((entry,)).encode()
    return archive(members)


ARCHIVES = [
    archive(docker_members(TWO, ["app:1"])),
    archive(layout_members([TWO, ONE], ["docker.io/library/app:1"])),
    several_platforms(),
]


@pytest.mark.parametrize("number", range(len(ARCHIVES)))
def test_nothing_is_left_of_archives_that_are_almost_right(lab: Lab, number: int) -> None:
    dice = random.Random(number)
    refused = 0
    for turn in range(120):
        data = mutate(ARCHIVES[number], dice)
        if turn % 8 == 0:
            data = mutate(gzip.compress(data, 1), dice)
        where = f"{number}, {turn}"
        try:
            lab.load(data)
        except (InvalidArgument, DataLoss):
            refused += 1
        else:
            for image in lab.store.all():
                lab.store.remove(image.id)
        assert lab.is_empty(), where
    assert refused > 60


def test_documents_that_are_almost_right(lab: Lab) -> None:
    """The archive is whole, and what it says is not."""
    dice = random.Random(5)
    members = docker_members(TWO, ["app:1"])
    layout = layout_members([TWO])
    for turn in range(150):
        files = dict(dice.choice((members, layout)))
        name = dice.choice([n for n in files if n.endswith(".json") or "blobs/" in n])
        before = files[name]
        assert isinstance(before, bytes)
        files[name] = mutate(before, dice)
        with suppress(InvalidArgument, DataLoss):
            lab.load(archive(files))
            for image in lab.store.all():
                lab.store.remove(image.id)
        assert lab.is_empty(), turn


BOMBS = {
    "gzip": lambda data: gzip.compress(data, 9),
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs(lab: Lab, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FREE", 1 << 20)
    bomb = BOMBS[kind](bytes(8 << 20))
    with pytest.raises(InvalidArgument, match="decompression bomb"), lab.store.lease() as lease:
        take_in(lab.content, lease, _Stream(bomb))
    layer = BOMBS[kind](archive({"zeros": bytes(8 << 20)}))
    members = docker_members(ONE, ["bomb:1"]) | {"layer0/layer.tar": layer}
    with pytest.raises(InvalidArgument, match=r"failed to register layer.*bomb.*bomb:1"):
        lab.load(archive(members))
    assert lab.is_empty()


def test_what_shrinks_well_is_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FREE", 1 << 16)
    text = b"".join(b"%d little lambs\n" % number for number in range(100_000))
    source = bounded(_Stream(gzip.compress(text, 9)))
    assert sum(len(data) for data in iter(lambda: source.read(1 << 20), b"")) == len(text)


class _Stream:
    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def read(self, size: int, /) -> bytes:
        data, self._data = bytes(self._data[:size]), self._data[size:]
        return data
