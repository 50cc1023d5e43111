"""Listing, inspecting, naming, removing, pruning: Docker's rules and words."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.api.filters import Filters
from tiffin.engine.images.archives import ImportRequest
from tiffin.engine.images.listing import ListOptions
from tiffin.engine.images.render import downgrade
from tiffin.engine.images.times import parse_moment, parse_time
from tiffin.errors import Conflict, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.images.mutate import draft_of
from tiffin.images.write import create_image
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.digest import Digest, hex_of
from tiffin.spec.platform import Platform
from tiffin.spec.reference import parse_reference
from tiffin.testing.image_lab import BASE, ONE, TWO, ServiceLab
from tiffin.testing.sample_images import SampleImage, archive, docker_members

OLD = SampleImage((BASE,), labels={"team": "a", "old": ""}, created="2020-01-01T00:00:00Z")


def child_of(lab: ServiceLab, image: Image, *names: str) -> Image:
    draft = draft_of(image).with_config(ContainerConfig(cmd=("child",)))
    references = [parse_reference(name) for name in names]
    return create_image(
        lab.content, lab.store, draft.config, draft.layers, names=references, parent=image.id
    )


async def ids(lab: ServiceLab, *, every: bool = False, **filters: list[str]) -> list[str]:
    options = ListOptions(all=every, filters=Filters(filters))
    return [summary.id for summary in await lab.service.list(options)]


async def test_list(lab: ServiceLab) -> None:
    lab.put(OLD, "old:v1", "old:v2", "r.example/team/old")
    lab.put(TWO, "two")
    first, second = await lab.service.list()
    assert (first.id, second.id) == (TWO.id, OLD.id)
    assert second.repo_tags == ["old:v1", "old:v2", "r.example/team/old:latest"]
    assert second.repo_digests == []
    assert (second.shared_size, second.containers) == (-1, -1)
    assert second.labels == {"team": "a", "old": ""}
    assert first.labels is None
    assert first.created == 1714979289
    assert first.size == second.size + lab.store.layer_size(first_chain(lab, TWO)[1])
    lab.users.by_image[TWO.id] = [("c" * 64, False)]
    usage = {item.id: item for item in await lab.service.usage()}
    assert usage[TWO.id].containers == 1
    assert usage[TWO.id].shared_size == usage[OLD.id].shared_size == usage[OLD.id].size
    assert await lab.service.layers_size() == first.size
    assert await lab.service.count() == 2


def first_chain(lab: ServiceLab, image: SampleImage) -> list[Digest]:
    return list(lab.store.get(image.id).config.chain_ids())


async def test_list_filters(lab: ServiceLab) -> None:
    lab.put(OLD, "old:v1", "team/app:v1")
    two = lab.put(TWO, "two")
    assert await ids(lab, label=["team"]) == [OLD.id]
    assert await ids(lab, label=["team=b"]) == []
    assert await ids(lab, since=["old:v1"]) == [TWO.id]
    assert await ids(lab, before=["two"]) == [OLD.id]
    assert await ids(lab, until=["2021-01-01"]) == [OLD.id]
    assert await ids(lab, reference=["old"]) == [OLD.id]
    assert await ids(lab, reference=["t*"]) == [TWO.id]
    assert await ids(lab, reference=["*/*:v1"]) == [OLD.id]
    assert await ids(lab, reference=["nothing*"]) == []
    assert await ids(lab, dangling=["true"]) == []
    lab.store.untag(parse_reference("two"))
    assert await ids(lab, dangling=["true"]) == [TWO.id]
    assert await ids(lab, dangling=["false"]) == [OLD.id]
    child_of(lab, two, "child")
    assert TWO.id not in await ids(lab)
    assert TWO.id in await ids(lab, every=True)
    with pytest.raises(InvalidArgument, match="invalid filter 'colour'"):
        await ids(lab, colour=["red"])
    with pytest.raises(InvalidArgument, match="invalid filter 'dangling=\\[maybe\\]'"):
        await ids(lab, dangling=["maybe"])
    with pytest.raises(NotFound, match="No such image: none:latest"):
        await ids(lab, before=["none"])


async def test_inspect_and_versions(lab: ServiceLab) -> None:
    lab.put(TWO, "two")
    found, image = await lab.service.inspect("two", manifests=True)
    assert found.created == TWO.created
    assert found.comment == "last"
    assert found.config == {"Env": ["A=b"], "Cmd": ["sh"]}
    assert found.graph_driver.name == "overlay2"
    assert found.graph_driver.data is not None
    assert set(found.graph_driver.data) == {"UpperDir", "LowerDir"}
    assert found.root_fs.layers == list(image.config.diff_ids)
    (manifest,) = found.manifests
    assert manifest.id == image.manifest.digest
    assert manifest.size.total > manifest.size.content > 0
    old = downgrade(found, image, (1, 43))
    assert old.config is not None
    assert old.config["Hostname"] == ""
    assert old.virtual_size == old.size
    assert old.descriptor is None
    assert old.container_config is not None


async def test_history(lab: ServiceLab) -> None:
    image = lab.put(TWO, "two")
    child = child_of(lab, image, "child")
    steps = await lab.service.history("child")
    assert [step.created_by for step in steps] == ["CMD sh", "ADD 1", "ADD 0"]
    assert [step.id for step in steps] == [child.id, image.id, "<missing>"]
    assert [step.tags for step in steps] == [["child:latest"], ["two:latest"], None]
    assert steps[0].size == 0
    assert sum(step.size for step in steps) == lab.store.size(image)


async def test_tag(lab: ServiceLab) -> None:
    lab.put(ONE, "one")
    await lab.service.tag("one", parse_reference("r.example/x"))
    assert (await lab.service.get("r.example/x:latest")).id == ONE.id
    found, _ = await lab.service.inspect("one")
    assert found.metadata.last_tag_time.startswith("20")
    with pytest.raises(NotFound, match="No such image: none:latest"):
        await lab.service.tag("none", parse_reference("x"))
    with pytest.raises(InvalidArgument, match="digest reference"):
        await lab.service.tag("one", parse_reference(f"x@{ONE.id}"))
    with pytest.raises(InvalidArgument, match="ambiguous tag"):
        await lab.service.tag("one", parse_reference("sha256:x"))
    assert ("tag", ONE.id) in await lab.happened()


async def removed(lab: ServiceLab, text: str, *, force: bool = False) -> list[str]:
    items = await lab.service.remove(text, force=force)
    return [f"Untagged: {i.untagged}" if i.untagged else f"Deleted: {i.deleted}" for i in items]


async def test_remove_by_name_and_id(lab: ServiceLab) -> None:
    lab.put(TWO, "app:v1", "app:v2")
    chain = first_chain(lab, TWO)
    assert await removed(lab, "app:v1") == ["Untagged: app:v1"]
    assert await removed(lab, "app:v2") == [
        "Untagged: app:v2", f"Deleted: {TWO.id}", f"Deleted: {chain[1]}", f"Deleted: {chain[0]}",
    ]  # fmt: skip
    assert lab.is_empty()
    lab.put(TWO, "app:v1")
    assert (await removed(lab, hex_of(TWO.id)[:12]))[:2] == [
        "Untagged: app:v1", f"Deleted: {TWO.id}",
    ]  # fmt: skip
    assert [action for action, _ in await lab.happened()] == [
        "untag", "untag", "delete", "untag", "delete",
    ]  # fmt: skip
    with pytest.raises(NotFound, match="No such image: app:latest"):
        await removed(lab, "app")


async def test_remove_takes_digests_of_the_repository(lab: ServiceLab) -> None:
    image = lab.put(ONE, "app:v1")
    digest = image.manifest.digest
    lab.store.tag(image, parse_reference("app").with_digest(digest), image.manifest)
    assert (await removed(lab, "app:v1"))[:3] == [
        "Untagged: app:v1", f"Untagged: app@{digest}", f"Deleted: {ONE.id}",
    ]  # fmt: skip


async def test_remove_conflicts(lab: ServiceLab) -> None:
    lab.put(ONE, "app:v1", "other/app:v1")
    short = hex_of(ONE.id)[:12]
    with pytest.raises(Conflict) as caught:
        await removed(lab, short)
    assert str(caught.value) == (
        f"conflict: unable to delete {short} (must be forced) - "
        "image is referenced in multiple repositories"
    )
    lab.store.untag(parse_reference("other/app:v1"))
    lab.users.by_image[ONE.id] = [("c" * 64, False)]
    with pytest.raises(Conflict) as caught:
        await removed(lab, "app:v1")
    assert str(caught.value) == (
        'conflict: unable to remove repository reference "app:v1" (must force) - container '
        f"cccccccccccc is using its referenced image {short}"
    )
    with pytest.raises(Conflict) as caught:
        await removed(lab, short)
    assert str(caught.value) == (
        f"conflict: unable to delete {short} (must be forced) - "
        "image is being used by stopped container cccccccccccc"
    )
    lab.users.by_image[ONE.id] = [("d" * 64, True)]
    with pytest.raises(Conflict) as caught:
        await removed(lab, short, force=True)
    assert str(caught.value) == (
        f"conflict: unable to delete {short} (cannot be forced) - "
        "image is being used by running container dddddddddddd"
    )
    # A forced removal by name of an image in use leaves it without a name.
    assert await removed(lab, "app:v1", force=True) == ["Untagged: app:v1"]
    lab.users.by_image[ONE.id] = [("c" * 64, False)]
    assert (await removed(lab, short, force=True))[0] == f"Deleted: {ONE.id}"
    assert lab.is_empty()


async def test_remove_parents(lab: ServiceLab) -> None:
    image = lab.put(ONE, "one")
    child = child_of(lab, image, "child")
    short = hex_of(ONE.id)[:12]
    with pytest.raises(Conflict) as caught:
        await removed(lab, short, force=True)
    assert str(caught.value) == (
        f"conflict: unable to delete {short} (cannot be forced) - image has dependent child images"
    )
    assert await removed(lab, "one") == ["Untagged: one:latest"]
    assert (await removed(lab, "child"))[:3] == [
        "Untagged: child:latest", f"Deleted: {child.id}", f"Deleted: {ONE.id}",
    ]  # fmt: skip
    assert lab.is_empty()


async def test_prune(lab: ServiceLab) -> None:
    lab.put(OLD, "old")
    lab.put(TWO)
    report = await lab.service.prune(Filters({"until": ["2021-01-01"]}))
    assert (report.images_deleted, report.space_reclaimed) == (None, 0)
    report = await lab.service.prune(Filters())
    assert report.images_deleted is not None
    assert report.images_deleted[0].deleted == TWO.id
    assert report.space_reclaimed > 1000
    lab.users.by_image[OLD.id] = [("c" * 64, False)]
    assert (await lab.service.prune(Filters({"dangling": ["false"]}))).images_deleted is None
    lab.users.by_image.clear()
    labels = Filters({"dangling": ["false"], "label!": ["team=a"]})
    assert (await lab.service.prune(labels)).images_deleted is None
    report = await lab.service.prune(Filters({"dangling": ["false"], "label": ["team=a"]}))
    assert report.images_deleted is not None
    assert [item.untagged for item in report.images_deleted if item.untagged] == ["old:latest"]
    assert lab.is_empty()
    with pytest.raises(InvalidArgument, match="invalid filter 'x'"):
        await lab.service.prune(Filters({"x": ["y"]}))


async def test_load_and_save_say_what_they_do(lab: ServiceLab) -> None:
    data = archive(docker_members(TWO, ["app:v1"]))
    await lab.service.load(io.BytesIO(data), emit=lab.emit)
    assert lab.lines[-1] == {"stream": "Loaded image: app:v1\n"}
    assert any(line.get("status") == "Loading layer" for line in lab.lines)
    lab.lines.clear()
    renamed = archive(docker_members(ONE, ["app:v1"]))
    await lab.service.load(io.BytesIO(renamed), emit=lab.emit, quiet=True)
    assert [line["stream"] for line in lab.lines] == [
        f"The image app:v1 already exists, renaming the old one with ID {TWO.id} to empty string\n",
        "Loaded image: app:v1\n",
    ]
    lab.lines.clear()
    await lab.service.load(io.BytesIO(archive(docker_members(TWO, []))), emit=lab.emit)
    assert lab.lines[-1] == {"stream": f"Loaded image ID: {TWO.id}\n"}
    chunks = await lab.service.save([TWO.id, "app:v1"])
    assert len(b"".join(chunks)) > 5000
    assert [action for action, _ in await lab.happened()] == ["load"] * 3 + ["save"] * 2


async def test_import(lab: ServiceLab) -> None:
    request = ImportRequest(
        name=parse_reference("made"), message="by hand", changes=["CMD run", "ENV A=b"],
        platform=Platform("linux", "arm", "v7"),
    )  # fmt: skip
    image = await lab.service.import_(io.BytesIO(BASE), request, lab.emit)
    assert lab.lines == [{"status": image.id}]
    assert image.config.config.cmd == ("/bin/sh", "-c", "run")
    assert image.config.platform == Platform("linux", "arm", "v7")
    assert image.config.history[0].comment == "by hand"
    assert (await lab.service.get("made")).id == image.id
    with pytest.raises(InvalidArgument, match="not a valid change command"):
        await lab.service.import_(io.BytesIO(BASE), ImportRequest(changes=["RUN x"]), lab.emit)
    assert await lab.happened() == [("import", image.id)]


def test_times() -> None:
    assert parse_time("0001-01-01T00:00:00Z") is None
    assert parse_time("yesterday") is None
    moment = parse_time("2024-01-02T03:04:05.123456789+02:00")
    assert moment == datetime(2024, 1, 2, 1, 4, 5, 123456, UTC)
    assert parse_moment("1700000000.5").timestamp() == 1700000000.5
    now = datetime(2024, 1, 1, tzinfo=UTC)
    assert parse_moment("1h30m", now.timestamp()) == now - timedelta(minutes=90)
    assert parse_moment("2024-01-01") == now
    with pytest.raises(InvalidArgument, match="failed to parse value as time or duration"):
        parse_moment("soon")


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    parse_time(text)
    try:
        parse_moment(text)
    except InvalidArgument:
        pass
