"""Use-cases of images for several platforms: pull, list, inspect, remove, prune."""

import pytest

from tiffin.api.filters import Filters
from tiffin.engine.images.listing import ListOptions
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.images.index import images_here
from tiffin.spec.digest import digest_bytes
from tiffin.spec.platform import Platform
from tiffin.spec.reference import Reference, parse_reference
from tiffin.testing.fake_registry import FakeRegistry
from tiffin.testing.image_lab import ONE, TOP, ServiceLab
from tiffin.testing.sample_images import SampleImage, layer_tar, publish_index

S390 = SampleImage((TOP,), platform=Platform("linux", "s390x"))
ARM7 = SampleImage((layer_tar({"arm": b"7"}),), platform=Platform("linux", "arm", "v7"))
IMAGES = (S390, ONE, ARM7)


@pytest.fixture
def multi(registry: FakeRegistry) -> Reference:
    publish_index(registry, "multi", "latest", IMAGES)
    return parse_reference(f"{registry.host}/multi")


def here(lab: ServiceLab, name: object) -> set[str]:
    target = lab.store.target_of(str(name))
    return {each.digest for each in images_here(lab.content, target)}


async def test_platforms_pulled_one_after_another_stay(lab: ServiceLab, multi: Reference) -> None:
    assert (await lab.service.pull(multi)).id == ONE.id
    for image in (S390, ARM7):
        assert (await lab.service.pull(multi, platform=image.platform)).id == image.id
    assert here(lab, multi) == {image.descriptor.digest for image in IMAGES}
    lab.lines.clear()
    await lab.service.pull(multi, platform=ARM7.platform, emit=lab.emit)
    assert lab.texts()[-1].startswith("Status: Image is up to date for")
    assert (await lab.service.get(str(multi))).id == ONE.id
    (row,) = await lab.service.list(ListOptions(manifests=True, all=True))
    assert (row.id, row.repo_tags) == (ONE.id, [f"{multi}:latest"])
    assert row.descriptor is not None
    assert row.descriptor.media_type.endswith("index.v1+json")
    assert [each.available for each in row.manifests] == [True, True, True]
    assert await lab.service.list(ListOptions(filters=Filters({"dangling": ["true"]}))) == []
    assert (await lab.service.prune(Filters({}))).images_deleted is None


async def test_all_platforms_at_once(
    lab: ServiceLab, registry: FakeRegistry, multi: Reference
) -> None:
    image = await lab.service.pull(multi, all_platforms=True)
    assert image.id == ONE.id
    assert here(lab, multi) == {each.descriptor.digest for each in IMAGES}
    assert lab.snapshots() == set(image.config.chain_ids())
    registry.counts.clear()
    await lab.service.pull(multi, all_platforms=True)
    assert not any(key.startswith("blob") for key in registry.counts)
    foreign = await lab.service.get(str(multi), S390.platform)
    assert lab.store.unpacker.has(foreign.config.chain_ids()[-1])
    assert not any(key.startswith("blob") for key in registry.counts)


async def test_what_is_told_of_platforms(lab: ServiceLab, multi: Reference) -> None:
    await lab.service.pull(multi)
    (row,) = await lab.service.list(ListOptions(manifests=True))
    s390, one, arm = row.manifests
    assert (s390.available, one.available, arm.available) == (False, True, False)
    assert (s390.kind, s390.size.content) == ("image", 0)
    assert arm.image_data is not None
    assert arm.image_data.platform.variant == "v7"
    assert one.image_data is not None
    assert one.image_data.size.unpacked > 0
    assert one.size.total == one.size.content + one.image_data.size.unpacked
    await lab.service.pull(multi, all_platforms=True)
    found, _ = await lab.service.inspect(str(multi), platform=S390.platform)
    assert (found.id, found.architecture) == (S390.id, "s390x")
    assert found.graph_driver.data is None  # looking unpacks nothing
    assert len(await lab.service.history(str(multi), S390.platform)) == 2
    found, _ = await lab.service.inspect(str(multi), manifests=True)
    lab.users.by_image[S390.id] = [("c1", False)]
    assert [each.available for each in found.manifests] == [True, True, True]
    found, _ = await lab.service.inspect(str(multi), manifests=True)
    assert found.manifests[0].image_data is not None
    assert found.manifests[0].image_data.containers == ["c1"]


async def test_removing_a_name_takes_all_platforms(lab: ServiceLab, multi: Reference) -> None:
    await lab.service.pull(multi, all_platforms=True)
    await lab.service.get(str(multi), S390.platform)
    await lab.service.tag(str(multi), parse_reference("again"))
    await lab.service.remove(str(multi))
    assert here(lab, "again") == {image.descriptor.digest for image in IMAGES}
    lab.users.by_image[S390.id] = [("c1", True)]
    with pytest.raises(Conflict, match="container c1 is using its referenced image"):
        await lab.service.remove("again")
    assert (await lab.service.prune(Filters({"dangling": ["false"]}))).images_deleted is None
    lab.users.by_image.clear()
    items = await lab.service.remove("again")
    assert {item.deleted for item in items} >= {ONE.id, S390.id}
    assert lab.is_empty()


async def test_pruning_takes_all_platforms(lab: ServiceLab, multi: Reference) -> None:
    await lab.service.pull(multi, all_platforms=True)
    await lab.service.get(str(multi), S390.platform)
    everything = Filters({"dangling": ["false"]})
    promised = await lab.service.preview_prune(everything)
    report = await lab.service.prune(everything)
    assert report.space_reclaimed == promised.space_reclaimed > 0
    assert report.images_deleted is not None
    assert {item.deleted for item in report.images_deleted} >= {ONE.id, S390.id}
    assert lab.is_empty()


async def test_removing_one_platform(lab: ServiceLab, multi: Reference) -> None:
    await lab.service.pull(multi, all_platforms=True)
    name = str(multi)
    with pytest.raises(InvalidArgument, match="force"):
        await lab.service.remove(name, platforms=[S390.platform])
    lab.users.by_image[ARM7.id] = [("c1", True)]
    with pytest.raises(Conflict, match="running container c1"):
        await lab.service.remove(name, force=True, platforms=[ARM7.platform])
    items = await lab.service.remove(name, force=True, platforms=[S390.platform])
    assert [item.deleted for item in items] == [S390.descriptor.digest]
    with pytest.raises(NotFound, match="does not match the specified platform"):
        await lab.service.get(name, S390.platform)
    assert digest_bytes(S390.stored[0]) not in lab.blobs()
    await lab.service.remove(name, force=True, platforms=[ONE.platform])
    assert (await lab.service.get(name)).id == ARM7.id
    lab.users.by_image.clear()
    with pytest.raises(Conflict, match="no other platform"):
        await lab.service.remove(name, force=True, platforms=[ARM7.platform])
    await lab.service.pull(multi)
    assert (await lab.service.get(name)).id == ONE.id


async def test_pushing_an_index(lab: ServiceLab, registry: FakeRegistry, multi: Reference) -> None:
    await lab.service.pull(multi)
    target = lab.store.target_of(str(multi))
    again = parse_reference(f"{registry.host}/again:1")
    await lab.service.tag(str(multi), again)
    await lab.service.push(again, emit=lab.emit)  # most of it is neither here nor there
    assert lab.lines[-1]["aux"]["selectedManifest"]["digest"] == ONE.descriptor.digest
    await lab.service.push(multi.with_tag("latest"), emit=lab.emit)  # the rest is there
    assert lab.lines[-1]["aux"]["Digest"] == target.digest
    await lab.service.pull(multi, all_platforms=True)
    await lab.service.push(again, emit=lab.emit)
    assert lab.lines[-1]["aux"] == {"Tag": "1", "Digest": target.digest, "Size": target.size}
    await lab.service.push(again, platform=S390.platform, emit=lab.emit)
    assert lab.lines[-1]["aux"]["Digest"] == S390.descriptor.digest
    await lab.service.push(again)
    for name in (str(again), str(multi)):
        await lab.service.remove(name)
    assert lab.is_empty()
    assert (await lab.service.pull(again, all_platforms=True)).id == ONE.id
    assert lab.store.target_of(str(again)) == target
    assert here(lab, again) == {image.descriptor.digest for image in IMAGES}
