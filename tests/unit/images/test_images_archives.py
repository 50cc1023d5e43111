"""Archives both ways, and archives that are wrong."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from tiffin.errors import DataLoss, InvalidArgument, NotFound, TiffinError
from tiffin.images.save import choose, save
from tiffin.images.tarball import import_tarball
from tiffin.spec.digest import digest_bytes, hex_of
from tiffin.spec.image import History, ImageConfig, Index
from tiffin.spec.platform import Platform
from tiffin.spec.reference import parse_reference
from tiffin.testing.image_lab import BASE, ONE, TOP, TWO, Lab
from tiffin.testing.sample_images import (
    SampleImage,
    archive,
    docker_members,
    layer_tar,
    layout_members,
)

PACKERS: list[Callable[[bytes], bytes]] = [
    lambda data: data, gzip.compress, bz2.compress, lzma.compress,
    zstandard.ZstdCompressor().compress,
]  # fmt: skip


def saved(lab: Lab, *names: str) -> bytes:
    return b"".join(save(lab.store, choose(lab.store, names)))


@pytest.mark.parametrize("pack", PACKERS)
def test_loads_docker_archives(lab: Lab, pack: Callable[[bytes], bytes]) -> None:
    (loaded,) = lab.load(pack(archive(docker_members(TWO, ["app:v1", "other"]))))
    assert loaded.image.id == TWO.id
    assert [name.familiar for name in loaded.names] == ["app:v1", "other:latest"]
    assert lab.store.resolve("other").id == TWO.id
    assert lab.ingests() == []


def test_loads_layouts_and_keeps_their_manifests(lab: Lab) -> None:
    (loaded,) = lab.load(archive(layout_members([TWO], ["docker.io/library/app:v1"])))
    assert loaded.image.id == TWO.id
    assert loaded.image.manifest.digest == TWO.descriptor.digest
    assert lab.store.resolve("app:v1").id == TWO.id


def test_loads_the_platform_that_fits(lab: Lab) -> None:
    foreign = SampleImage((TOP,), platform=Platform("linux", "s390x"))
    index = Index((ONE.descriptor, foreign.descriptor)).encode()
    members = layout_members([ONE, foreign])
    members[f"blobs/sha256/{hex_of(digest_bytes(index))}"] = index
    entry = {"mediaType": Index().media_type, "digest": digest_bytes(index), "size": len(index)}
    entry["annotations"] = {"org.opencontainers.image.ref.name": "docker.io/library/multi:1"}
    members["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    assert lab.load(archive(members))[0].image.id == ONE.id
    assert lab.load(archive(members), Platform("linux", "s390x"))[0].image.id == foreign.id
    assert lab.store.resolve("multi:1").id == ONE.id  # this machine's, if it is there
    with pytest.raises(InvalidArgument, match="no image for platform linux/riscv64"):
        lab.load(archive(members), Platform("linux", "riscv64"))


def test_legacy_links_between_layers(lab: Lab) -> None:
    twice = SampleImage((BASE, BASE))
    members = docker_members(twice, ["twice"])
    members["layer1/layer.tar"] = "../layer0/layer.tar"
    assert lab.load(archive(members))[0].image.id == twice.id


def test_save_and_load_give_the_same(lab: Lab) -> None:
    lab.put(ONE, "one:a", "one:b")
    lab.load(archive(layout_members([TWO], ["docker.io/library/two:latest"])))
    data = saved(lab, "one", "two:latest", TWO.id)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = tar.getnames()
        assert names[:4] == ["oci-layout", "index.json", "manifest.json", "repositories"]
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        entries: list[dict[str, Any]] = json.loads(manifest.read())
        assert [entry["RepoTags"] for entry in entries] == [["one:a", "one:b"], ["two:latest"]]
        for entry in entries:
            assert set(entry["Layers"]) | {entry["Config"]} <= set(names)
    before = {image.id: image for image in lab.store.all()}
    for image in before:
        lab.store.remove(image)
    assert lab.is_empty()
    loaded = lab.load(data)
    assert {item.image.id: item.image for item in loaded} == before
    assert lab.store.resolve("one:b").id == ONE.id
    assert saved(lab, "one", "two:latest", TWO.id) == data
    # Without the layout it is an archive of the older kind.
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {m.name: tar.extractfile(m) for m in tar if m.isfile()}
        older = {n: f.read() for n, f in members.items() if f and n != "index.json"}
    for image in before:
        lab.store.remove(image)
    assert {item.image.id for item in lab.load(archive(older))} == set(before)


def test_save_by_id_and_what_is_missing(lab: Lab) -> None:
    lab.put(ONE, "one")
    (item,) = choose(lab.store, [hex_of(ONE.id)[:12]])
    assert item.names == ()
    with pytest.raises(NotFound, match="No such image: two:latest"):
        choose(lab.store, ["one", "two"])
    with pytest.raises(NotFound, match="does not match the specified platform"):
        choose(lab.store, ["one"], [Platform("linux", "s390x")])
    selected = choose(lab.store, ["one"])
    lab.store.remove(ONE.id)
    with pytest.raises(NotFound):
        next(save(lab.store, selected))


def test_an_archive_being_saved_is_held(lab: Lab) -> None:
    lab.put(TWO, "two")
    chunks = save(lab.store, choose(lab.store, ["two"]))
    first = next(chunks)
    lab.store.remove(TWO.id)
    data = first + b"".join(chunks)
    lab.store.collect()
    assert lab.is_empty()
    assert lab.load(data)[0].image.id == TWO.id


def test_loading_again_changes_nothing_and_reports_what_it_replaced(lab: Lab) -> None:
    data = archive(docker_members(ONE, ["app"]))
    lab.load(data)
    before = lab.blobs(), lab.snapshots()
    assert lab.load(data)[0].replaced == ()
    assert (lab.blobs(), lab.snapshots()) == before
    (loaded,) = lab.load(archive(docker_members(TWO, ["app"])))
    assert [(name.familiar, old) for name, old in loaded.replaced] == [("app:latest", ONE.id)]


GOOD = docker_members(TWO, ["app"])
LAYOUT = layout_members([TWO], ["app"])
FIRST_BLOB = f"blobs/sha256/{hex_of(digest_bytes(TWO.stored[0]))}"


def without(members: dict[str, bytes | str], name: str) -> dict[str, bytes | str]:
    return {key: value for key, value in members.items() if key != name}


def entry_with(**changes: object) -> dict[str, bytes | str]:
    (entry,) = json.loads(GOOD["manifest.json"])
    return GOOD | {"manifest.json": json.dumps([entry | changes]).encode()}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"x": b"y"}, "it has neither manifest.json nor index.json"),
        (without(GOOD, "layer1/layer.tar"), "'layer1/layer.tar' is missing"),
        (GOOD | {"layer1/layer.tar": BASE}, "layers from manifest don't match"),
        (GOOD | {"layer1/layer.tar": TOP[:700]}, "failed to register layer: sha256:"),
        (GOOD | {"layer1/layer.tar": "../../../etc/passwd"}, "leads out of the archive"),
        (GOOD | {"../evil": b"x"}, "'../evil' leads out of the archive"),
        (GOOD | {"manifest.json": b"{"}, "invalid manifest.json"),
        (GOOD | {"manifest.json": b"[3]"}, "expected an object"),
        (GOOD | {"manifest.json": b"[]"}, "neither manifest.json nor index.json"),
        (entry_with(Layers=["/etc/passwd"]), "'/etc/passwd' is missing"),
        (entry_with(Layers=["../x"]), "leads out"),
        (entry_with(Layers="x"), "expected an array"),
        (entry_with(Layers=[]), "0 layers in the manifest, 2 in the config"),
        (entry_with(RepoTags=["Bad"]), "must be lowercase"),
        (entry_with(Config="manifest.json"), "'manifest.json' is missing"),
        (entry_with(Config="layer0/layer.tar"), "invalid image config"),
        (without(LAYOUT, FIRST_BLOB), "is missing"),
        (LAYOUT | {FIRST_BLOB: b"other"}, "unexpected commit digest"),
        (LAYOUT | {"index.json": b'{"schemaVersion":1}'}, "unsupported schemaVersion"),
        (
            LAYOUT | {"index.json": b'{"schemaVersion":2,"manifests":[]}'},
            "invalid archive: no image",
        ),
        (LAYOUT | {"blobs/sha256/abc": b""}, "invalid checksum digest length"),
    ],
)
def test_wrong_archives_leave_nothing(
    lab: Lab, members: dict[str, bytes | str], message: str
) -> None:
    with pytest.raises(TiffinError) as caught:
        lab.load(archive(members))
    assert message in str(caught.value)
    assert lab.is_empty()


@pytest.mark.parametrize("cut", [1, 100, 600, 3000])
def test_cut_archives_leave_nothing(lab: Lab, cut: int) -> None:
    data = archive(GOOD)
    packed = gzip.compress(data)
    for damaged in (
        data[:-10240][: len(data) - 10240 - cut],
        packed[:-cut],
        packed[: len(packed) // 2],
    ):
        with pytest.raises(TiffinError):
            lab.load(damaged)
        assert lab.is_empty()


def test_devices_in_an_archive_are_refused(lab: Lab) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("dev")
        info.type = tarfile.CHRTYPE
        tar.addfile(info)
    with pytest.raises(InvalidArgument, match="'dev' is neither file nor directory"):
        lab.load(out.getvalue())


def test_import(lab: Lab) -> None:
    config = ImageConfig(architecture="amd64", created="2024-01-01T00:00:00Z")
    names = [parse_reference("imported:1")]
    for stream in (BASE, gzip.compress(BASE)):
        image = import_tarball(
            lab.store, io.BytesIO(stream), config, History(comment="Imported from -"), names
        )
        assert image.config.diff_ids == (digest_bytes(BASE),)
        assert image.layers[0].digest == digest_bytes(BASE)
    assert lab.store.resolve("imported:1") == image
    assert image.config.history[0].comment == "Imported from -"
    lab.store.remove(image.id)
    for stream in (b"", b"no tar at all" * 100, gzip.compress(BASE)[:-20]):
        with pytest.raises((InvalidArgument, DataLoss)):
            import_tarball(lab.store, io.BytesIO(stream), config, History())
        assert lab.is_empty()


def test_layer_content_never_leaves_the_snapshot(lab: Lab) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, str(lab.root)
        tar.addfile(info)
        for name in ("link/escaped", "../../escaped", "/escaped"):
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(b"x"))
    image = SampleImage((out.getvalue(),))
    try:
        lab.load(archive(docker_members(image, ["evil"])))
    except TiffinError:
        pass
    assert not (lab.root / "escaped").exists()
    assert not (lab.root.parent / "escaped").exists()


def test_layers_of_many_files(lab: Lab) -> None:
    tar = layer_tar({f"d{i % 50}/f{i}": b"x" * i for i in range(500)})
    (loaded,) = lab.load(archive(docker_members(SampleImage((tar,)), ["many"])))
    assert lab.store.size(loaded.image) >= sum(range(500))
