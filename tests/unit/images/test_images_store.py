"""Names, leases, garbage, and what survives a crash."""

import errno
import os
import random
import threading
from pathlib import Path

import pytest

from tiffin.content.local import LocalContentStore, LocalIngest
from tiffin.errors import DataLoss, InvalidArgument, NotFound
from tiffin.images.mutate import Draft, draft_of
from tiffin.images.write import create_image, put_blob, write_blob
from tiffin.snapshots.overlay import OverlaySnapshotter
from tiffin.spec.descriptor import OCI_LAYER, Descriptor
from tiffin.spec.digest import Digest, digest_bytes, hex_of
from tiffin.spec.image import ContainerConfig, History, ImageConfig
from tiffin.spec.reference import parse_reference
from tiffin.state.images import ImageRecords
from tiffin.testing.image_lab import BASE, ONE, TOP, TWO, Lab
from tiffin.testing.sample_images import SampleImage


def test_resolves_in_dockers_order(lab: Lab) -> None:
    image = lab.put(ONE, "app:v1", "r.example/x")
    store = lab.store
    digest = image.manifest.digest
    store.tag(image, parse_reference("app").with_digest(digest), image.manifest)
    for text in (
        image.id, hex_of(image.id), hex_of(image.id)[:12], f"sha256:{hex_of(image.id)[:5]}",
        "app:v1", "docker.io/library/app:v1", "r.example/x", f"app@{digest}",
        f"app:ignored@{digest}",
    ):  # fmt: skip
        assert store.resolve(text).id == image.id, text
    # A name comes before an id prefix.
    other = lab.put(TWO, hex_of(image.id)[:12])
    assert store.resolve(hex_of(image.id)[:12]).id == other.id


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "No such image: nothing:latest"),
        ("app:v2", "No such image: app:v2"),
        ("a" * 64, f"No such image: {'a' * 64}"),
        (f"sha256:{'a' * 64}", f"No such image: sha256:{'a' * 64}"),
        ("a/b@sha256:" + "0" * 64, "No such image: a/b@sha256:" + "0" * 64),
    ],
)
def test_what_is_not_there(lab: Lab, text: str, message: str) -> None:
    lab.put(ONE, "app:v1")
    with pytest.raises(NotFound) as caught:
        lab.store.resolve(text)
    assert str(caught.value) == message


def test_ambiguous_prefix(lab: Lab) -> None:
    first: dict[str, str] = {}
    for number in range(40):
        image = lab.put(SampleImage((BASE,), labels={"n": str(number)}))
        digit = hex_of(image.id)[0]
        if digit in first:
            with pytest.raises(NotFound, match="ambiguous"):
                lab.store.resolve(digit)
            return
        first[digit] = image.id
    raise AssertionError("17 ids share a first digit")


def test_bad_names(lab: Lab) -> None:
    with pytest.raises(InvalidArgument, match="must be lowercase"):
        lab.store.resolve("App")


def test_tags_move_and_leave(lab: Lab) -> None:
    store = lab.store
    one, two = lab.put(ONE, "app"), lab.put(TWO, "app")
    assert store.resolve("app").id == two.id
    assert store.references(one.id) == []
    store.tag(one, parse_reference("app:old"))
    assert store.untag(parse_reference("app:old")).image_id == one.id
    with pytest.raises(NotFound, match="No such image: app:old"):
        store.untag(parse_reference("app:old"))
    record = store.records.get(one.id)
    assert record is not None
    assert record.tagged_at_ns > 0


def test_removal_takes_what_nothing_else_needs(lab: Lab) -> None:
    store = lab.store
    one, two = lab.put(ONE, "one"), lab.put(TWO, "two")
    removed = store.remove(two.id)
    assert removed.snapshots == (two.chain_id,)
    assert removed.size > 1000
    assert lab.snapshots() == {one.chain_id}
    assert lab.blobs() == {one.id, one.manifest.digest, one.layers[0].digest}
    store.remove(one.id)
    assert lab.is_empty()


def test_layers_under_a_container_go_later(lab: Lab) -> None:
    store = lab.store
    image = lab.put(TWO, "two")
    lab.snapshotter.prepare("container", image.chain_id)
    store.remove(image.id)
    assert image.chain_id in lab.snapshots()
    lab.snapshotter.remove("container")
    store.collect()
    assert lab.is_empty()


def test_a_held_image_stays_whole(lab: Lab) -> None:
    store = lab.store
    image = lab.put(TWO, "two")
    with store.hold(image):
        store.remove(image.id)
        assert image.chain_id in lab.snapshots()
        lab.snapshotter.prepare("container", image.chain_id)
    assert image.chain_id in lab.snapshots()
    lab.snapshotter.remove("container")
    store.collect()
    assert lab.is_empty()
    with pytest.raises(NotFound):
        store.hold(image)


def test_a_lease_keeps_and_then_lets_go(lab: Lab) -> None:
    store = lab.store
    with store.lease() as lease:
        kept = write_blob(lab.content, lease, b"x", "a/b")
        with store.lease() as other:
            other.hold(kept.digest)
        assert kept.digest in lab.blobs()
    assert lab.blobs() == set()


def test_roots_of_others_are_kept(lab: Lab) -> None:
    needed: set[str] = set()
    lab.store.add_roots(lambda: needed)
    with lab.store.lease() as lease:
        blob = write_blob(lab.content, lease, b"cache", "a/b")
        needed.add(blob.digest)
    assert blob.digest in lab.blobs()
    lab.store.recover()
    assert blob.digest in lab.blobs()
    needed.clear()
    lab.store.collect()
    assert lab.blobs() == set()


def test_create_image(lab: Lab) -> None:
    store = lab.store
    with store.lease() as lease:
        layer = write_blob(lab.content, lease, BASE, OCI_LAYER)
        draft = Draft(ImageConfig(architecture="amd64")).append_layer(
            layer, layer.digest, History(created_by="x")
        )
        draft = draft.append_history(History(created_by="CMD y"))
        draft = draft.with_config(ContainerConfig(cmd=("y",)))
        names = [parse_reference("made")]
        image = create_image(lab.content, store, draft.config, draft.layers, names=names)
    assert store.resolve("made") == image
    assert image.config.config.cmd == ("y",)
    assert image.config.history[1].empty_layer
    upper = lab.snapshotter.upper(image.chain_id)
    assert upper is not None
    assert (upper / "bin/sh").read_bytes() == b"#!"
    child = draft_of(image).with_config(ContainerConfig(cmd=("z",)))
    made = create_image(lab.content, store, child.config, child.layers, parent=image.id)
    assert store.parent(made.id) == image.id
    assert made.chain_id == image.chain_id
    again = create_image(lab.content, store, child.config, child.layers)
    assert again == made
    assert store.parent(made.id) == image.id


def test_create_image_from_scratch_and_what_it_refuses(lab: Lab) -> None:
    image = create_image(lab.content, lab.store, ImageConfig(architecture="amd64"), ())
    assert image.chain_id == ""
    layer = Descriptor(OCI_LAYER, digest_bytes(b"gone"), 4)
    config = ImageConfig().append_layer(layer.digest, History())
    with pytest.raises(InvalidArgument, match="0 layers do not fit"):
        create_image(lab.content, lab.store, config, ())
    with pytest.raises(NotFound):
        create_image(lab.content, lab.store, config, (layer,))
    lab.store.remove(image.id)
    assert lab.is_empty()


def test_layer_that_is_not_what_the_config_says(lab: Lab) -> None:
    with lab.store.lease() as lease:
        layer = write_blob(lab.content, lease, BASE, OCI_LAYER)
        config = ImageConfig().append_layer(digest_bytes(b"other"), History())
        with pytest.raises(DataLoss, match="layers from manifest don't match image configuration"):
            create_image(lab.content, lab.store, config, (layer,))
    assert lab.is_empty()


def test_recovery_sweeps_and_unpacks_again(tmp_path: Path) -> None:
    lab = Lab(tmp_path / "lab")
    image = lab.put(TWO, "two")
    put_blob(lab.content, digest_bytes(b"left over"), b"left over")
    lab.snapshotter.prepare("unpack-123", image.chain_id)
    lab.snapshotter.prepare("temporary", "")
    lab.snapshotter.commit("sha256:" + "1" * 64, "temporary")
    with lab.content.writer("load-x") as writer:
        writer.write(b"half")
    lab.close()
    lab = Lab(tmp_path / "lab")
    lab.snapshotter.remove("unpack-123")
    lab.snapshotter.remove(image.chain_id)  # as if the disk had lost it
    assert lab.store.recover() == []
    assert lab.snapshots() == set(image.config.chain_ids())
    assert digest_bytes(b"left over") not in lab.blobs()
    assert lab.ingests() == []
    assert lab.store.resolve("two") == image
    # An image whose content is gone is dropped, and said so.
    lab.snapshotter.remove(image.chain_id)
    lab.content.delete(image.layers[1].digest)
    (dropped,) = lab.store.recover()
    assert image.id in dropped
    assert lab.is_empty()
    lab.close()


def test_many_threads_unpack_a_layer_once(lab: Lab) -> None:
    done: list[bool] = []
    with lab.store.lease() as lease:
        layer = write_blob(lab.content, lease, BASE, OCI_LAYER)
        lease.hold(layer.digest)

        def work() -> None:
            done.append(lab.store.unpacker.layer(layer, layer.digest, "", Digest(layer.digest)))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert done.count(True) == 1
        assert len(done) == 8
        assert lab.snapshots() == {layer.digest}
    assert lab.is_empty()


def test_loads_and_removals_at_once_never_break_an_image(lab: Lab) -> None:
    samples = [SampleImage((BASE, TOP)[: 1 + n % 2], labels={"n": str(n)}) for n in range(4)]
    problems: list[BaseException] = []

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(15):
            sample = chance.choice(samples)
            try:
                image = lab.put(sample, f"name{chance.randrange(2)}")
                with lab.store.hold(image):
                    key = f"container-{seed}"
                    lab.snapshotter.prepare(key, image.chain_id)
                    lab.snapshotter.remove(key)
                lab.store.remove(chance.choice(samples).id)
            except NotFound as error:
                if not error.message.startswith("No such image"):
                    problems.append(error)
            except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
                problems.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    for image in lab.store.all():
        assert set(image.config.chain_ids()) <= lab.snapshots()
        lab.store.remove(image.id)
    lab.store.collect()
    assert lab.is_empty()


STEPS = (
    (LocalIngest, "write"), (LocalIngest, "commit"), (OverlaySnapshotter, "prepare"),
    (OverlaySnapshotter, "commit"), (ImageRecords, "set_layer_size"), (ImageRecords, "add"),
    (ImageRecords, "remove"), (LocalContentStore, "delete"), (OverlaySnapshotter, "remove"),
)  # fmt: skip


def die_at(root: Path, step: int, count: int, *, after: bool) -> int:
    """Load and remove an image in a child that dies at the `count`th call of a step."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    kind, name = STEPS[step]
    real = getattr(kind, name)
    calls = 0

    def dying(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == count and not after:
            os._exit(9)
        result = real(*arguments, **options)
        if calls == count:
            os._exit(9)
        return result

    try:
        setattr(kind, name, dying)
        lab = Lab(root)
        lab.put(TWO, "two")
        if STEPS.index((kind, name)) >= STEPS.index((ImageRecords, "remove")):
            lab.store.remove(TWO.id)
    finally:
        os._exit(0)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("step", range(len(STEPS)))
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_daemon_killed_at_any_step(tmp_path: Path, step: int, count: int, after: bool) -> None:
    root = tmp_path / "lab"
    Lab(root).close()
    died = die_at(root, step, count, after=after) == 9
    assert died or count == 2
    lab = Lab(root)
    assert lab.store.recover() == []
    if lab.store.all():
        image = lab.store.resolve("two")
        assert lab.snapshots() == set(image.config.chain_ids())
        assert len(lab.blobs()) == 4
    else:
        assert lab.blobs() | lab.snapshots() == set()
    assert lab.ingests() == []
    lab.put(TWO, "two")
    lab.close()


def test_recovery_goes_on_where_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(tmp_path / "lab")
    image = lab.put(TWO, "two")
    lab.snapshotter.remove(image.chain_id)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(lab.snapshotter, "prepare", full)
        (told,) = lab.store.recover()
    assert image.id in told
    assert "No space left" in told
    assert lab.store.recover() == []
    assert lab.snapshots() == set(image.config.chain_ids())
    lab.close()
