"""Bytes that the disk has changed are found, named, and fetched again where that is possible."""

from pathlib import Path

import pytest

from tiffin.errors import DataLoss, NotFound
from tiffin.spec.digest import Digest
from tiffin.spec.reference import parse_reference
from tiffin.testing.fake_registry import FakeRegistry
from tiffin.testing.image_lab import ONE, TWO, ServiceLab
from tiffin.testing.sample_images import publish_index


def damage(lab: ServiceLab, digest: Digest) -> Path:
    """Flip one bit in the middle of a blob."""
    path = lab.content.path(digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)
    return path


async def test_nothing_is_wrong(lab: ServiceLab) -> None:
    lab.put(ONE, "one:v1")
    lab.put(TWO, "two:v1")
    assert await lab.service.verify([], emit=lab.emit) == []
    assert lab.texts() == ["Verifying one:v1", "Verifying two:v1"]
    with pytest.raises(NotFound):
        await lab.service.verify(["nobody"])


@pytest.mark.parametrize("role", ["index", "manifest", "config", "layer"])
@pytest.mark.parametrize("how", ["damaged", "missing"])
async def test_every_part_is_fetched_again(
    lab: ServiceLab, registry: FakeRegistry, role: str, how: str
) -> None:
    index = publish_index(registry, "team/app", "v1", [TWO])
    name = f"{registry.host}/team/app:v1"
    image = await lab.service.pull(parse_reference(name))
    digest = {
        "index": index,
        "manifest": image.manifest.digest,
        "config": image.id,
        "layer": image.layers[1].digest,
    }[role]
    good = lab.content.path(digest).read_bytes()
    if how == "damaged":
        damage(lab, digest)
    else:
        lab.content.delete(digest)

    (problem,) = await lab.service.verify([name] if role == "layer" else [])
    assert (problem.digest, problem.role, problem.fault) == (digest, role, how)
    assert (problem.names, problem.repaired) == ([name], False)

    (problem,) = await lab.service.verify([], repair=True, emit=lab.emit)
    assert problem.repaired
    assert f"{role} {digest[7:19]} is {how}: fetched again" in lab.texts()
    assert lab.content.path(digest).read_bytes() == good
    assert await lab.service.verify([]) == []
    assert lab.ingests() == []


async def test_what_was_made_here_cannot_be_fetched(lab: ServiceLab) -> None:
    image = lab.put(TWO)
    path = damage(lab, image.layers[0].digest)
    wrong = path.read_bytes()
    (problem,) = await lab.service.verify([], repair=True)
    assert "nowhere to fetch it from" in problem.reason
    assert path.read_bytes() == wrong


async def test_a_registry_that_lies_changes_nothing(
    lab: ServiceLab, registry: FakeRegistry
) -> None:
    TWO.publish(registry, "team/app", "v1")
    image = await lab.service.pull(parse_reference(f"{registry.host}/team/app:v1"))
    digest = image.layers[1].digest
    path = damage(lab, digest)
    wrong = path.read_bytes()
    registry.blobs[digest] = b"x" * len(registry.blobs[digest])
    (problem,) = await lab.service.verify([], repair=True)
    assert not problem.repaired
    assert "the registry's bytes are others, too" in problem.reason
    assert path.read_bytes() == wrong
    assert lab.ingests() == []


async def test_a_damaged_config_is_named_when_it_is_read(lab: ServiceLab) -> None:
    image = lab.put(ONE, "one:v1")
    damage(lab, image.id)
    lab.store._images.clear()
    with pytest.raises(DataLoss, match=f"{image.id} is damaged on disk"):
        await lab.service.get("one:v1")


async def test_an_unpacked_layer_that_has_changed(lab: ServiceLab) -> None:
    image = lab.put(ONE, "one:v1")
    upper = lab.snapshotter.upper(image.chain_id)
    assert upper is not None
    (upper / "etc/passwd").write_text("someone else")
    (problem,) = await lab.service.verify([])
    assert (problem.role, problem.fault, problem.digest) == (
        "unpacked layer", "changed", image.chain_id,
    )  # fmt: skip


async def test_a_damaged_image_costs_no_other_and_can_be_removed(
    lab: ServiceLab, tmp_path: Path
) -> None:
    image = lab.put(TWO, "two:v1")
    lab.put(ONE, "one:v1")
    damage(lab, image.manifest.digest)
    again = ServiceLab(tmp_path / "lab")
    (told,) = again.store.recover(set())
    assert "is damaged on disk" in told
    assert [found.repo_tags for found in await again.service.list()] == [["one:v1"]]
    assert image.chain_id in again.snapshots()
    await again.service.remove(image.id, force=True)
    again.store.recover(set())
    assert image.chain_id not in again.snapshots()
    assert (await again.service.get("one:v1")).id == ONE.id
    again.close()
