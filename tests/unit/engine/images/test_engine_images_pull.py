"""Pulls and pushes against a registry that checks, breaks and lies."""

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from tiffin.api.filters import Filters
from tiffin.errors import DataLoss, InvalidArgument, NotFound, TiffinError
from tiffin.images.store import download_ref
from tiffin.images.write import create_image, write_blob
from tiffin.registry.credentials import Credentials
from tiffin.registry.errors import RegistryError
from tiffin.spec.descriptor import (
    DOCKER_LAYER_FOREIGN,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
)
from tiffin.spec.digest import digest_bytes, hex_of
from tiffin.spec.image import History, ImageConfig, parse_manifest
from tiffin.spec.platform import Platform
from tiffin.spec.reference import parse_reference
from tiffin.testing.fake_registry import FakeRegistry
from tiffin.testing.image_lab import BASE, ONE, TOP, TWO, ServiceLab
from tiffin.testing.sample_images import SampleImage, layer_tar, publish_index


def short(data: bytes) -> str:
    return hex_of(digest_bytes(data))[:12]


def noise(count: int) -> bytes:
    out = b"".join(hashlib.sha256(str(i).encode()).digest() for i in range(count // 32 + 1))
    return out[:count]


BIG = SampleImage((layer_tar({"big": noise(3_000_000)}),))


async def test_pull(lab: ServiceLab, registry: FakeRegistry) -> None:
    digest = TWO.publish(registry, "team/app", "v1")
    reference = parse_reference(f"{registry.host}/team/app:v1")
    image = await lab.service.pull(reference, emit=lab.emit)
    assert image.id == TWO.id
    assert lab.lines[0] == {"status": "Pulling from team/app", "id": "v1"}
    assert lab.texts() == [
        f"Digest: {digest}",
        f"Status: Downloaded newer image for {registry.host}/team/app:v1",
    ]
    states = lab.states(short(TWO.stored[1]))
    assert states[0] == "Pulling fs layer"
    assert states[-1] == "Pull complete"
    assert "Download complete" in states
    assert "Extracting" in states
    upper = lab.snapshotter.upper(image.chain_id)
    assert upper is not None
    assert (upper / "app/main").stat().st_size == 1000
    found, _ = await lab.service.inspect(str(reference))
    assert found.repo_tags == [f"{registry.host}/team/app:v1"]
    assert found.repo_digests == [f"{registry.host}/team/app@{digest}"]
    assert await lab.happened() == [("pull", f"{registry.host}/team/app:v1")]
    assert lab.ingests() == []

    lab.lines.clear()
    await lab.service.pull(reference, emit=lab.emit)
    assert lab.states(short(TWO.stored[0])) == ["Pulling fs layer", "Already exists"]
    assert lab.texts()[-1] == f"Status: Image is up to date for {registry.host}/team/app:v1"
    by_digest = reference.with_digest(digest)
    assert (await lab.service.pull(by_digest)).id == TWO.id
    assert registry.counts[f"blob {digest_bytes(TWO.stored[0])}"] == 1


async def test_pull_chooses_the_platform(lab: ServiceLab, registry: FakeRegistry) -> None:
    foreign = SampleImage((TOP,), platform=Platform("linux", "s390x"))
    digest = publish_index(registry, "multi", "latest", [foreign, ONE])
    reference = parse_reference(f"{registry.host}/multi")
    image = await lab.service.pull(reference)
    assert image.id == ONE.id
    assert lab.service.store.resolve(f"{registry.host}/multi@{digest}").id == ONE.id
    wanted = Platform("linux", "s390x")
    assert (await lab.service.pull(reference, platform=wanted)).id == foreign.id
    with pytest.raises(NotFound, match="no matching manifest for linux/riscv64 in the manifest"):
        await lab.service.pull(reference, platform=Platform("linux", "riscv64"))
    assert (await lab.service.ensure(reference, platform=wanted)).id == foreign.id
    assert registry.counts["manifest latest"] == 1  # HEAD tells that the rest is known
    ONE.publish(registry, "multi", "single")
    with pytest.raises(NotFound, match="does not match the specified platform"):
        await lab.service.pull(reference.with_tag("single"), platform=wanted)
    found = await lab.service.distribution(f"{registry.host}/multi")
    assert found.descriptor.digest == digest
    assert found.platforms[0].architecture == "s390x"
    found = await lab.service.distribution(f"{registry.host}/multi:single")
    assert [each.architecture for each in found.platforms] == [ONE.platform.architecture]


async def test_pull_all_tags(lab: ServiceLab, registry: FakeRegistry) -> None:
    ONE.publish(registry, "app", "a")
    TWO.publish(registry, "app", "b")
    await lab.service.pull_all(parse_reference(f"{registry.host}/app"))
    assert {image.id for image in lab.store.all()} == {ONE.id, TWO.id}


@pytest.mark.parametrize("ignore_range", [False, True])
async def test_broken_downloads_are_resumed(
    lab: ServiceLab, registry: FakeRegistry, ignore_range: bool
) -> None:
    BIG.publish(registry, "big", "latest")
    digest = digest_bytes(BIG.stored[0])
    registry.faults.break_after[digest] = 2_500_000
    registry.faults.ignore_range = ignore_range
    await lab.service.pull(parse_reference(f"{registry.host}/big"), emit=lab.emit)
    assert registry.counts[f"blob {digest}"] == 2
    assert "Retrying" in lab.states(short(BIG.stored[0]))
    assert lab.pauses


async def test_wrong_bytes_are_refused(lab: ServiceLab, registry: FakeRegistry) -> None:
    TWO.publish(registry, "app", "latest")
    digest = digest_bytes(TWO.stored[1])
    registry.faults.corrupt.add(digest)
    with pytest.raises(DataLoss) as caught:
        await lab.service.pull(parse_reference(f"{registry.host}/app"))
    assert str(caught.value) == (
        f"filesystem layer verification failed for digest {digest}: "
        f"while pulling {registry.host}/app:latest"
    )
    assert lab.is_empty(but_downloads=True)
    registry.faults.corrupt.clear()
    await lab.service.pull(parse_reference(f"{registry.host}/app"))


async def test_layers_that_are_longer_than_said(lab: ServiceLab, registry: FakeRegistry) -> None:
    TWO.publish(registry, "app", "latest")
    registry.blobs[digest_bytes(TWO.stored[1])] += b"more"
    with pytest.raises(DataLoss, match="sent more than"):
        await lab.service.pull(parse_reference(f"{registry.host}/app"))
    assert lab.is_empty(but_downloads=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("app:v9", "manifest for {}/app:v9 not found: manifest unknown: manifest unknown"),
        (
            "none:x",
            "repository {}/none not found: name unknown: repository name not known to registry",
        ),
    ],
)
async def test_what_the_registry_does_not_have(
    lab: ServiceLab, registry: FakeRegistry, name: str, message: str
) -> None:
    ONE.publish(registry, "app", "latest")
    with pytest.raises(NotFound) as caught:
        await lab.service.pull(parse_reference(f"{registry.host}/{name}"), emit=lab.emit)
    assert str(caught.value) == message.format(registry.host)
    assert lab.lines == []


async def test_denied_and_unauthorized(lab: ServiceLab) -> None:
    async with FakeRegistry(auth="token", users={"ann": "secret"}) as registry:
        ONE.publish(registry, "app", "latest")
        reference = parse_reference(f"{registry.host}/app")
        with pytest.raises(RegistryError, match="unauthorized: authentication required"):
            await lab.service.pull(reference)
        registry.faults.statuses = [403]
        user = Credentials("ann", "secret")
        with pytest.raises(NotFound) as caught:
            await lab.service.pull(reference, credentials=user)
        assert str(caught.value) == (
            f"pull access denied for {registry.host}/app, repository does not exist or may "
            "require 'docker login': denied: requested access to the resource is denied"
        )
        await lab.service.pull(reference, credentials=user)


async def test_no_registry_there(lab: ServiceLab) -> None:
    async with FakeRegistry() as registry:
        host = registry.host
    with pytest.raises(TiffinError) as caught:
        await lab.service.pull(parse_reference(f"{host}/x"))
    assert str(caught.value) == (
        f'Get "http://{host}/v2/": dial tcp {host}: connect: connection refused'
    )


@pytest.mark.parametrize(
    ("media_type", "data", "message"),
    [
        (OCI_MANIFEST, b"{", "invalid manifest"),
        ("application/vnd.docker.distribution.manifest.v1+json", b"{}", "unsupported manifest"),
        (OCI_INDEX, b'{"schemaVersion":2,"layers":[]}', "unexpected member 'layers'"),
        (
            OCI_MANIFEST,
            b'{"schemaVersion":2,"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json",'
            b'"size":1,"digest":"sha256:' + b"a" * 64 + b'"}}',
            'Encountered remote "application/vnd.cncf.helm.config.v1\\+json"\\(unknown\\)',
        ),
    ],
)
async def test_manifests_that_are_no_images(
    lab: ServiceLab, registry: FakeRegistry, media_type: str, data: bytes, message: str
) -> None:
    registry.add_manifest("app", "latest", media_type, data)
    with pytest.raises(InvalidArgument, match=message):
        await lab.service.pull(parse_reference(f"{registry.host}/app"))
    assert lab.is_empty()


async def test_two_pulls_share_a_download(lab: ServiceLab, registry: FakeRegistry) -> None:
    BIG.publish(registry, "a", "latest")
    BIG.publish(registry, "b", "latest")
    await asyncio.gather(
        *(lab.service.pull(parse_reference(f"{registry.host}/{name}")) for name in "abab")
    )
    assert registry.counts[f"blob {digest_bytes(BIG.stored[0])}"] == 1
    assert len(lab.store.references(BIG.id)) == 4


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # the condition is in other hands
        await asyncio.sleep(0.005)


async def test_the_second_pull_goes_on_when_the_first_is_cancelled(
    lab: ServiceLab, registry: FakeRegistry
) -> None:
    BIG.publish(registry, "a", "latest")
    BIG.publish(registry, "b", "latest")
    blob = f"blob {digest_bytes(BIG.stored[0])}"
    held = registry.faults.pauses[digest_bytes(BIG.stored[0])] = asyncio.Event()
    first = asyncio.create_task(lab.service.pull(parse_reference(f"{registry.host}/a")))
    await until(lambda: registry.counts[blob] == 1)
    second = asyncio.create_task(
        lab.service.pull(parse_reference(f"{registry.host}/b"), emit=lab.emit)
    )
    await until(lambda: bool(lab.lines))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    held.set()
    assert (await second).id == BIG.id
    assert not lab.store.references(BIG.id)[0].reference.path.startswith("a")


async def test_a_cancelled_pull_leaves_nothing(lab: ServiceLab, registry: FakeRegistry) -> None:
    BIG.publish(registry, "a", "latest")
    registry.faults.pauses[digest_bytes(BIG.stored[0])] = asyncio.Event()
    task = asyncio.create_task(lab.service.pull(parse_reference(f"{registry.host}/a")))
    await until(lambda: registry.counts[f"blob {digest_bytes(BIG.stored[0])}"] == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lab.blobs() | lab.snapshots() == set()
    assert lab.store.all() == []


async def test_three_layers_at_once(lab: ServiceLab, registry: FakeRegistry) -> None:
    many = SampleImage(tuple(layer_tar({str(i): noise(1000 + i)}) for i in range(8)))
    many.publish(registry, "many", "latest")
    held = asyncio.Event()
    registry.faults.pauses = {digest_bytes(blob): held for blob in many.stored}
    task = asyncio.create_task(
        lab.service.pull(parse_reference(f"{registry.host}/many"), emit=lab.emit)
    )

    def asked() -> int:
        return sum(registry.counts[f"blob {digest}"] for digest in registry.faults.pauses)

    await until(lambda: asked() == 3)
    assert sum(line.get("status") == "Waiting" for line in lab.lines) == 5
    held.set()
    assert (await task).id == many.id
    assert asked() == 8


async def test_push_and_pull_back(lab: ServiceLab, registry: FakeRegistry) -> None:
    with lab.store.lease() as lease:
        layers = [write_blob(lab.content, lease, tar, OCI_LAYER) for tar in (BASE, TOP)]
        config = ImageConfig(architecture="amd64")
        for layer in layers:
            config = config.append_layer(layer.digest, History())
        reference = parse_reference(f"{registry.host}/made:v1")
        image = create_image(lab.content, lab.store, config, layers, names=[reference])
    await lab.service.push(reference, emit=lab.emit)
    assert lab.texts()[0] == f"The push refers to repository [{registry.host}/made]"
    states = lab.states(short(TOP))
    assert states[0] == "Preparing"
    assert states[-1] == "Pushed"
    aux = lab.lines[-1]["aux"]
    assert lab.lines[-2]["status"] == f"v1: digest: {aux['Digest']} size: {aux['Size']}"
    manifest = parse_manifest(registry.manifests["made"]["v1"][1])
    assert [layer.media_type for layer in manifest.layers] == [OCI_LAYER + "+gzip"] * 2
    found, _ = await lab.service.inspect(image.id)
    assert found.repo_digests == [f"{registry.host}/made@{aux['Digest']}"]
    assert ("push", f"{registry.host}/made:v1") in await lab.happened()

    lab.lines.clear()
    await lab.service.push(reference, emit=lab.emit)
    assert lab.states(short(TOP))[-1] == "Layer already exists"

    # Another repository of the same registry gets the layers by mounting them.
    other = parse_reference(f"{registry.host}/copy")
    await lab.service.tag(image.id, other)
    lab.lines.clear()
    await lab.service.push(other, emit=lab.emit)
    assert lab.states(short(TOP))[-1] == "Mounted from made"
    assert registry.counts["mounts"] == 2

    await lab.service.remove(image.id, force=True)
    assert lab.is_empty()
    assert (await lab.service.pull(reference)).id == image.id


async def test_a_pulled_image_is_pushed_as_it_came(lab: ServiceLab, registry: FakeRegistry) -> None:
    digest = TWO.publish(registry, "app", "latest")
    image = await lab.service.pull(parse_reference(f"{registry.host}/app"))
    async with FakeRegistry() as other:
        target = parse_reference(f"{other.host}/app:x")
        await lab.service.tag(image.id, target)
        await lab.service.push(target)
        assert digest in other.manifests["app"]


async def test_push_survives_failures_and_limits(
    lab: ServiceLab, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tiffin.engine.images.delivery._PIECE", 1 << 20)
    lab.put(BIG, f"{registry.host}/big:a", f"{registry.host}/big:b")
    registry.faults.max_request = 2 << 20
    registry.faults.statuses = [503, 503]
    await lab.service.push(parse_reference(f"{registry.host}/big"))
    assert {"a", "b"} <= set(registry.manifests["big"])


async def test_what_cannot_be_pushed(lab: ServiceLab, registry: FakeRegistry) -> None:
    with pytest.raises(NotFound) as caught:
        await lab.service.push(parse_reference(f"{registry.host}/none:x"))
    assert str(caught.value) == (
        f"An image does not exist locally with the tag: {registry.host}/none"
    )
    lab.put(ONE, f"{registry.host}/app:v1")
    with pytest.raises(NotFound, match=f"tag does not exist: {registry.host}/app:v2"):
        await lab.service.push(parse_reference(f"{registry.host}/app:v2"))
    async with FakeRegistry(auth="basic", users={"ann": "x"}) as closed:
        lab.put(ONE, f"{closed.host}/app:v1")
        with pytest.raises(RegistryError, match="no basic auth credentials"):
            await lab.service.push(parse_reference(f"{closed.host}/app:v1"))
        await lab.service.push(
            parse_reference(f"{closed.host}/app:v1"), credentials=Credentials("ann", "x")
        )


async def test_broken_uploads_are_resumed_and_no_byte_goes_twice(
    lab: ServiceLab, registry: FakeRegistry
) -> None:
    lab.put(BIG, f"{registry.host}/big:a")
    registry.faults.cut_uploads = [700_001, 800_000]
    await lab.service.push(parse_reference(f"{registry.host}/big:a"), emit=lab.emit)
    manifest = parse_manifest(registry.manifests["big"]["a"][1])
    assert registry.received == manifest.layers[0].size + manifest.config.size
    assert "Retrying" in {line.get("status") for line in lab.lines}
    assert len(lab.pauses) == 2


async def test_a_restart_goes_on_with_what_has_arrived(
    lab: ServiceLab, registry: FakeRegistry
) -> None:
    BIG.publish(registry, "big", "latest")
    digest = digest_bytes(BIG.stored[0])
    with lab.content.writer(download_ref(digest)) as writer:
        writer.write(BIG.stored[0][:1_000_000])
    with lab.content.writer("document-x") as writer:
        writer.write(b"of no use to anybody")
    lab.store.recover()
    assert len(lab.ingests()) == 1
    await lab.service.pull(parse_reference(f"{registry.host}/big"))
    assert registry.ranges[digest] == [1_000_000]
    with lab.content.writer(download_ref(digest)) as writer:
        writer.write(b"x")
    [left] = (lab.root / "content" / "ingest").iterdir()
    os.utime(left / "data", (0, 0))
    lab.store.recover()
    assert lab.ingests() == []


async def test_damaged_bytes_of_an_earlier_attempt_cost_no_pull(
    lab: ServiceLab, registry: FakeRegistry
) -> None:
    BIG.publish(registry, "big", "latest")
    digest = digest_bytes(BIG.stored[0])
    with lab.content.writer(download_ref(digest)) as writer:
        writer.write(bytes(1_000_000))
    await lab.service.pull(parse_reference(f"{registry.host}/big"))
    assert registry.ranges[digest] == [1_000_000, 0]


async def test_a_token_that_runs_out_on_the_way(lab: ServiceLab) -> None:
    user = Credentials("ann", "secret")
    async with FakeRegistry(auth="token", users={"ann": "secret"}) as registry:
        BIG.publish(registry, "big", "latest")
        reference = parse_reference(f"{registry.host}/big")
        held = registry.faults.pauses[digest_bytes(BIG.stored[0])] = asyncio.Event()
        registry.faults.break_after[digest_bytes(BIG.stored[0])] = 1_500_000
        task = asyncio.create_task(lab.service.pull(reference, credentials=user))
        await until(lambda: registry.counts[f"blob {digest_bytes(BIG.stored[0])}"] == 1)
        registry.expire_tokens()
        held.set()
        assert (await task).id == BIG.id
        await lab.service.tag(BIG.id, parse_reference(f"{registry.host}/copy"))
        registry.faults.cut_uploads = [1_000_000]
        registry.on_cut = registry.expire_tokens
        registry.repositories["big"].clear()  # nothing to mount from
        await lab.service.push(parse_reference(f"{registry.host}/copy"), credentials=user)
        assert "latest" in registry.manifests["copy"]


async def test_foreign_layers_come_from_elsewhere_without_credentials(lab: ServiceLab) -> None:
    async with FakeRegistry(auth="token", users={"ann": "secret"}) as registry:
        digest = digest_bytes(ONE.stored[0])
        registry.faults.foreign["base"] = ONE.stored[0]
        url = f"http://{registry.host}/foreign/base"
        data = foreign_manifest(ONE, registry, url)
        registry.add_manifest("win", "latest", DOCKER_MANIFEST, data)
        reference = parse_reference(f"{registry.host}/win")
        image = await lab.service.pull(reference, credentials=Credentials("ann", "secret"))
        assert image.layers[0].urls == (url,)
        assert registry.log.count("GET /foreign/base as nobody") == 1
        assert registry.counts[f"blob {digest}"] == 0
        lab.lines.clear()
        await lab.service.push(reference, credentials=Credentials("ann", "secret"), emit=lab.emit)
        assert "Skipped foreign layer" in {line.get("status") for line in lab.lines}


def foreign_manifest(image: SampleImage, registry: FakeRegistry, *urls: str) -> bytes:
    """Return the image's manifest, with its lowest layer kept elsewhere."""
    image.publish(registry, "win", "")
    registry.repositories["win"].discard(digest_bytes(image.stored[0]))
    manifest = parse_manifest(image.manifest)
    layer = replace(manifest.layers[0], media_type=DOCKER_LAYER_FOREIGN, urls=urls)
    manifest = replace(manifest, layers=(layer, *manifest.layers[1:]))
    return replace(manifest, media_type=DOCKER_MANIFEST).encode()


async def test_search(lab: ServiceLab, registry: FakeRegistry) -> None:
    ONE.publish(registry, "team/app", "x")
    ONE.publish(registry, "other", "x")
    found = await lab.service.search(f"{registry.host}/app", 0, Filters())
    assert [item["name"] for item in found] == [f"{registry.host}/team/app"]
    registry.index = [
        {"name": "one", "star_count": 7, "is_official": True, "is_automated": True},
        {"name": "two", "star_count": 3, "description": "zwei"},
        {"name": None}, "odd",
    ]  # fmt: skip

    async def names(limit: int = 0, **filters: str) -> list[str]:
        wanted = Filters({key.replace("_", "-"): [value] for key, value in filters.items()})
        found = await lab.service.search(f"{registry.host}/x", limit, wanted)
        return [item["name"] for item in found]

    assert await names() == ["one", "two"]
    assert await names(1) == ["one"]
    assert await names(stars="4") == ["one"]
    assert await names(is_official="false") == ["two"]
    assert await names(is_automated="true") == []
    for wrong in ({"stars": "x"}, {"is_official": "maybe"}, {"colour": "red"}):
        with pytest.raises(InvalidArgument, match="invalid filter"):
            await names(**wrong)  # type: ignore[arg-type]  # none of them is `limit`
    with pytest.raises(InvalidArgument, match="invalid limit 101"):
        await names(101)
