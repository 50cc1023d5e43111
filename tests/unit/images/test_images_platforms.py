"""Images for several platforms: one name for all of them, stored as they came."""

import gzip
import hashlib
import json
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import Conflict, InvalidArgument, NotFound, TiffinError
from tiffin.images.index import MAX_NESTING, Kind, choose, images_here, members
from tiffin.images.manifests import select
from tiffin.images.platforms import for_platform, unpacked
from tiffin.images.save import choose as choose_for_archive
from tiffin.images.save import save
from tiffin.spec.descriptor import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
)
from tiffin.spec.digest import Digest, digest_bytes, hex_of
from tiffin.spec.image import ImageConfig, Index, Manifest, RootFS
from tiffin.spec.platform import Platform, host_platform, matches, parse_platform, rank
from tiffin.spec.reference import parse_reference
from tiffin.testing.image_lab import BASE, ONE, TOP, Lab
from tiffin.testing.sample_images import SampleImage, archive, layer_tar, layout_members

S390 = SampleImage((BASE, TOP), platform=Platform("linux", "s390x"))
ARM7 = SampleImage((layer_tar({"arm": b"7"}),), platform=Platform("linux", "arm", "v7"))
ARM6 = SampleImage((layer_tar({"arm": b"6"}),), platform=Platform("linux", "arm", "v6"))
NOBODY = Platform("unknown", "unknown")


def blob(data: bytes) -> dict[str, bytes | str]:
    return {f"blobs/sha256/{hex_of(digest_bytes(data))}": data}


def attestation_of(image: SampleImage) -> tuple[Descriptor, dict[str, bytes | str]]:
    statement = b'{"_type":"https://in-toto.io/Statement/v0.1"}'
    config = b"{}"
    manifest = Manifest(
        Descriptor(OCI_CONFIG, digest_bytes(config), len(config)),
        (Descriptor("application/vnd.in-toto+json", digest_bytes(statement), len(statement)),),
    ).encode()
    entry = Descriptor(
        OCI_MANIFEST, digest_bytes(manifest), len(manifest), platform=NOBODY,
        annotations={
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": image.descriptor.digest,
        },
    )  # fmt: skip
    return entry, blob(statement) | blob(config) | blob(manifest)


def entry_of(data: bytes, name: str = "") -> Descriptor:
    annotations = {"io.containerd.image.name": name} if name else {}
    return Descriptor(OCI_INDEX, digest_bytes(data), len(data), annotations=annotations)


def layout(
    index: bytes, images: Sequence[SampleImage], name: str = "docker.io/library/multi:1",
    more: Mapping[str, bytes | str] | None = None,
) -> bytes:  # fmt: skip
    files = layout_members(images) | blob(index) | dict(more or {})
    top = Index((entry_of(index, name),)).encode()
    return archive({**files, "index.json": top})


def index_of(*images: SampleImage, more: Sequence[Descriptor] = ()) -> bytes:
    return Index((*(image.descriptor for image in images), *more)).encode()


WHOLE = index_of(ONE, S390, ARM7, ARM6)
ATTESTATION, ATTESTATION_BLOBS = attestation_of(ONE)


# Platforms


@pytest.mark.parametrize(
    ("wanted", "offered", "expected"),
    [
        ("linux/arm64", "linux/arm64/v8", 0),
        ("linux/arm64/v8", "linux/arm64", 0),
        ("linux/arm64", "linux/arm/v8", 1),
        ("linux/arm64", "linux/arm/v5", 4),
        ("linux/arm64/v9", "linux/arm64", 1),
        ("linux/arm", "linux/arm/v7", 0),
        ("linux/arm/v7", "linux/arm/v6", 1),
        ("linux/arm/6", "linux/arm/v7", None),
        ("linux/arm/v5", "linux/arm64", None),
        ("linux/amd64", "linux/amd64/v1", 0),
        ("linux/amd64/v3", "linux/amd64/v2", 1),
        ("linux/amd64/v3", "linux/amd64", 2),
        ("linux/amd64", "linux/amd64/v2", None),
        ("linux/amd64", "linux/386", 1),
        ("linux/386", "linux/amd64", None),
        ("windows/amd64", "linux/amd64", None),
        ("linux/riscv64", "linux/riscv64", 0),
    ],
)
def test_which_platform_serves_which(wanted: str, offered: str, expected: int | None) -> None:
    assert rank(parse_platform(wanted), parse_platform(offered)) == expected


VARIANTS = [
    Platform("linux", architecture, variant)
    for architecture, variants in (
        ("amd64", ("", "v1", "v2", "v3", "v4")), ("arm", ("", "v5", "v6", "v7", "v8")),
        ("arm64", ("", "v8", "v9")), ("386", ("",)), ("s390x", ("",)),
    ) for variant in variants
]  # fmt: skip
platforms = st.sampled_from(VARIANTS)


@given(platforms, platforms, platforms)
def test_serving_is_an_order(one: Platform, two: Platform, three: Platform) -> None:
    assert rank(one, one) == 0
    assert parse_platform(str(one)) == parse_platform(str(parse_platform(str(one))))
    if rank(one, two) is not None:
        assert matches(one, two)
        if rank(two, three) is not None:
            assert rank(one, three) is not None
    if rank(one, two) == 0:
        assert rank(two, one) == 0


@given(st.lists(platforms, max_size=8), platforms, st.randoms())
def test_the_best_is_chosen(
    offered: list[Platform], wanted: Platform, order: random.Random
) -> None:
    order.shuffle(offered)
    entries = [
        Descriptor(OCI_MANIFEST, digest_bytes(str(each).encode()), 1, platform=each)
        for each in offered
    ]
    noise = Descriptor(
        OCI_MANIFEST, digest_bytes(b"a"), 1, platform=wanted,
        annotations={"vnd.docker.reference.type": "attestation-manifest"},
    )  # fmt: skip
    ranks = [position for each in offered if (position := rank(wanted, each)) is not None]
    index = Index((noise, *entries))
    if not ranks:
        with pytest.raises(NotFound, match="no matching manifest for"):
            select(index, wanted)
        return
    chosen = select(index, wanted).platform
    assert chosen is not None
    assert rank(wanted, chosen) == min(ranks)


# Stores


def test_one_name_for_all_platforms_of_an_archive(lab: Lab) -> None:
    (loaded,) = lab.load(layout(WHOLE, [ONE, S390, ARM7, ARM6]))
    assert loaded.image.id == ONE.id
    assert lab.store.resolve("multi:1").id == ONE.id
    assert len(images_here(lab.content, lab.store.target_of("multi:1"))) == 4
    assert lab.snapshots() == set(loaded.image.config.chain_ids())  # one is unpacked
    for platform, image in (
        ("linux/s390x", S390), ("linux/arm/v7", ARM7), ("linux/arm/v8", ARM7), ("arm/v6", ARM6),
        (str(host_platform()), ONE),
    ):  # fmt: skip
        assert for_platform(lab.store, "multi:1", parse_platform(platform)).id == image.id
    with pytest.raises(NotFound, match="does not match the specified platform"):
        for_platform(lab.store, "multi:1", Platform("linux", "riscv64"))
    foreign = unpacked(lab.store, "multi:1", S390.platform)
    assert lab.store.unpacker.has(foreign.config.chain_ids()[-1])
    assert [r.reference.familiar for r in lab.store.names(foreign.id)] == ["multi:1"]
    assert lab.store.variants(lab.store.references(ONE.id)) == [foreign.id]
    assert lab.store.resolve("multi:1").id == ONE.id


def test_platforms_come_one_after_another(lab: Lab) -> None:
    """As pulls bring them: an index of which more and more is here."""
    lab.load(layout(WHOLE, [S390]))
    assert lab.store.resolve("multi:1").id == S390.id  # what there is
    lab.load(layout(WHOLE, [ARM7]), ARM7.platform)
    assert lab.store.resolve("multi:1").id == ARM7.id  # the latest, if none is for this machine
    lab.load(layout(WHOLE, [ONE]))
    assert lab.store.resolve("multi:1").id == ONE.id
    lab.load(layout(WHOLE, [ARM6]), ARM6.platform)
    assert lab.store.resolve("multi:1").id == ONE.id
    assert len(images_here(lab.content, lab.store.target_of("multi:1"))) == 4
    variants = lab.store.variants(lab.store.references(ONE.id))
    assert set(variants) == {S390.id, ARM7.id, ARM6.id}


def test_one_platform_of_an_archive(lab: Lab) -> None:
    more = [ATTESTATION]
    index = index_of(ONE, S390, more=more)
    lab.load(layout(index, [ONE, S390], more=ATTESTATION_BLOBS), S390.platform)
    assert lab.store.resolve("multi:1").id == S390.id
    target = lab.store.target_of("multi:1")
    assert [each.digest for each in images_here(lab.content, target)] == [S390.descriptor.digest]
    assert not set(map(digest_bytes, ONE.stored)) - {digest_bytes(S390.stored[0])} & lab.blobs()
    assert ATTESTATION.digest not in lab.blobs()
    assert ONE.id not in lab.blobs()


def test_what_is_in_an_index(lab: Lab) -> None:
    artifact = Manifest(Descriptor("application/vnd.cncf.helm.config.v1+json", S390.id, 1)).encode()
    chart = Descriptor(OCI_MANIFEST, digest_bytes(artifact), len(artifact))
    nested = index_of(ARM6, more=[chart])
    index = index_of(ONE, S390, more=[ATTESTATION, entry_of(nested), ONE.descriptor])
    more = ATTESTATION_BLOBS | blob(artifact) | blob(nested)
    data = layout(index, [ONE, ARM6], more=more)
    lab.load(data)
    found = {m.descriptor.digest: m for m in members(lab.content, lab.store.target_of("multi:1"))}
    assert {digest: member.kind for digest, member in found.items()} == {
        ONE.descriptor.digest: Kind.IMAGE,
        S390.descriptor.digest: Kind.IMAGE,
        ATTESTATION.digest: Kind.ATTESTATION,
        ARM6.descriptor.digest: Kind.IMAGE,
        chart.digest: Kind.UNKNOWN,
    }
    assert found[ATTESTATION.digest].subject == ONE.descriptor.digest
    assert for_platform(lab.store, "multi:1", ARM6.platform).id == ARM6.id
    with pytest.raises(NotFound):
        for_platform(lab.store, "multi:1", S390.platform)  # it is not here
    # All of it goes out again, to the byte, and comes in again.
    saved = b"".join(save(lab.store, choose_for_archive(lab.store, ["multi:1"])))
    assert saved == b"".join(save(lab.store, choose_for_archive(lab.store, ["multi:1"])))
    blobs = lab.blobs()
    assert blobs >= {digest_bytes(artifact), digest_bytes(nested), ATTESTATION.digest}
    lab.store.remove(ONE.id)
    assert lab.is_empty()
    lab.load(saved)
    assert lab.blobs() == blobs
    assert b"".join(save(lab.store, choose_for_archive(lab.store, ["multi:1"]))) == saved


def test_saving_some_platforms(lab: Lab) -> None:
    index = index_of(ONE, S390, ARM7, more=[ATTESTATION])
    lab.load(layout(index, [ONE, S390, ARM7], more=ATTESTATION_BLOBS))

    def held(platforms: list[Platform]) -> tuple[list[str], set[Digest]]:
        data = b"".join(save(lab.store, choose_for_archive(lab.store, ["multi:1"], platforms)))
        again = Lab(lab.root / f"again{len(platforms)}{platforms[0].architecture}")
        loaded = again.load(data)
        names = [name.familiar for item in loaded for name in item.names]
        target = again.store.target_of("multi:1")
        here = {each.digest for each in images_here(again.content, target)}
        again.close()
        return names, here

    assert held([S390.platform]) == (["multi:1"], {S390.descriptor.digest})
    assert held([S390.platform, host_platform()]) == (
        ["multi:1"], {S390.descriptor.digest, ONE.descriptor.digest},
    )  # fmt: skip


def test_tags_stand_for_all_platforms(lab: Lab) -> None:
    (loaded,) = lab.load(layout(WHOLE, [ONE, S390]))
    target = lab.store.target_of("multi:1")
    assert target.is_index
    for text in ("multi:1", ONE.id, hex_of(ONE.id)[:12]):
        assert lab.store.target_of(text) == target
    lab.store.tag(loaded.image, parse_reference("other:2"), target)
    lab.store.untag(parse_reference("multi:1"))
    lab.store.collect()
    assert for_platform(lab.store, "other:2", S390.platform).id == S390.id


def test_removing_what_is_here_for_a_platform(lab: Lab) -> None:
    (loaded,) = lab.load(layout(WHOLE, [ONE, S390, ARM7]))
    foreign = unpacked(lab.store, "multi:1", S390.platform)
    lease = lab.store.hold(foreign)
    with pytest.raises(Conflict, match="is being used"):
        lab.store.remove_platform(foreign, None)
    lease.close()
    lab.store.remove_platform(foreign, None)
    with pytest.raises(NotFound):
        for_platform(lab.store, "multi:1", S390.platform)
    assert digest_bytes(S390.stored[0]) in lab.blobs()  # the other platform's as well
    assert digest_bytes(S390.stored[1]) not in lab.blobs()
    assert lab.snapshots() == set(loaded.image.config.chain_ids())
    with pytest.raises(Conflict):
        lab.store.remove_platform(loaded.image, None)
    instead = unpacked(lab.store, "multi:1", ARM7.platform)
    lab.store.remove_platform(loaded.image, instead)
    assert lab.store.resolve("multi:1").id == ARM7.id
    assert lab.load(layout(WHOLE, [ONE]))[0].image.id == ONE.id
    assert lab.store.resolve("multi:1").id == ONE.id


def test_a_restart_keeps_all_platforms(lab: Lab) -> None:
    lab.load(layout(WHOLE, [ONE, S390, ARM7]))
    unpacked(lab.store, "multi:1", S390.platform)
    before = lab.blobs(), lab.snapshots()
    lab.close()
    again = Lab(lab.root)
    assert again.store.recover() == []
    assert (again.blobs(), again.snapshots()) == before
    assert again.store.resolve("multi:1").id == ONE.id
    again.store.remove(ONE.id)
    again.store.remove(S390.id)
    assert again.is_empty()
    again.close()


def test_names_on_several_entries_mean_this_machines(lab: Lab) -> None:
    names = ["docker.io/library/multi:1"] * 2
    for images in ([ONE, S390], [S390, ONE]):
        lab.load(archive(layout_members(images, names)))
        assert lab.store.resolve("multi:1").id == ONE.id


def test_indexes_that_are_wrong(lab: Lab) -> None:
    deep, more = index_of(ONE), dict[str, bytes | str]()
    for _ in range(MAX_NESTING + 1):
        more |= blob(deep)
        deep = Index((entry_of(deep),)).encode()
    broken = b'{"schemaVersion":2,"manifests":[{"digest":"sha256:1"}]}'
    for index, blobs, message in (
        (deep, more, "nested too deep"),
        (Index((entry_of(b"{"),)).encode(), blob(b"{"), "invalid index"),
        (broken, {}, "invalid"),
        (index_of(S390), {}, "no image"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            lab.load(layout(index, [ONE], more=blobs))
        assert lab.is_empty()


def test_a_broken_member_costs_no_other(lab: Lab) -> None:
    wrong = b"{}"
    entry = Descriptor(OCI_MANIFEST, digest_bytes(wrong), len(wrong), platform=S390.platform)
    lab.load(layout(index_of(ONE, more=[entry]), [ONE], more=blob(wrong)))
    with pytest.raises(NotFound):
        for_platform(lab.store, "multi:1", S390.platform)
    assert choose(lab.content, lab.store.target_of("multi:1"), S390.platform) is None
    data = b"".join(save(lab.store, choose_for_archive(lab.store, ["multi:1"])))
    assert wrong in data
    lab.store.remove(ONE.id)
    assert lab.is_empty()


def test_a_chart_beside_an_image(lab: Lab) -> None:
    artifact = Manifest(Descriptor("application/vnd.cncf.helm.config.v1+json", S390.id, 1)).encode()
    entry = Descriptor(OCI_MANIFEST, digest_bytes(artifact), len(artifact))
    files = layout_members([ONE]) | blob(artifact)
    for entries, message in (([entry], "helm"), ([entry, ONE.descriptor], "")):
        top = json.dumps({"schemaVersion": 2, "manifests": [e.to_json() for e in entries]})
        data = archive({**files, "index.json": top.encode()})
        if message:
            with pytest.raises(InvalidArgument, match=message):
                lab.load(data)
            assert lab.is_empty()
        else:
            assert lab.load(data)[0].image.id == ONE.id


def test_images_by_sha512(lab: Lab) -> None:
    """Every digest of an image may be of another algorithm, its id and its layers' included."""

    def digest(data: bytes) -> Digest:
        return Digest("sha512:" + hashlib.sha512(data).hexdigest())

    layer = gzip.compress(BASE, mtime=0)
    config = ImageConfig(
        host_platform().architecture, rootfs=RootFS((digest(BASE),))
    ).encode()  # fmt: skip
    manifest = Manifest(
        Descriptor(OCI_CONFIG, digest(config), len(config)),
        (Descriptor(OCI_LAYER_GZIP, digest(layer), len(layer)),),
    ).encode()
    entry = Descriptor(
        OCI_MANIFEST, digest(manifest), len(manifest),
        annotations={"io.containerd.image.name": "docker.io/library/long:1"},
    )  # fmt: skip
    members: dict[str, bytes | str] = {
        f"blobs/sha512/{hex_of(digest(data))}": data for data in (layer, config, manifest)
    }
    top = Index((entry,)).encode()
    data = archive({"oci-layout": b"{}", **members, "index.json": top})
    (loaded,) = lab.load(data)
    assert loaded.image.id == digest(config)
    assert lab.store.resolve(loaded.image.id) == loaded.image
    assert lab.store.resolve(hex_of(loaded.image.id)[:12]) == loaded.image
    assert lab.store.resolve(loaded.image.id[:20]) == loaded.image
    saved = b"".join(save(lab.store, choose_for_archive(lab.store, ["long:1"])))
    lab.store.remove(loaded.image.id)
    assert lab.is_empty()
    assert lab.load(saved)[0].image == loaded.image
    wrong = archive({"oci-layout": b"{}", **members, "index.json": top}).replace(b"root", b"r00t")
    lab.store.remove(loaded.image.id)
    with pytest.raises(TiffinError):
        lab.load(wrong[:1000] + wrong[1000:].replace(layer[40:44], b"wxyz"))
    assert lab.is_empty()
