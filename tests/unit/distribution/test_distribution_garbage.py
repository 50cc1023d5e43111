import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tiffin.distribution import control, layout
from tiffin.distribution.config_file import load
from tiffin.distribution.errors import DistributionError
from tiffin.distribution.garbage import Collected, Retention
from tiffin.distribution.names import TagOrDigest
from tiffin.distribution.service import collect, opened
from tiffin.distribution.wiring import Registry
from tiffin.spec.descriptor import OCI_INDEX, OCI_MANIFEST
from tiffin.spec.digest import Digest
from tiffin.testing.registry_lab import digest_of, index_of, registry_lab

NOTHING_IS_YOUNG = Retention(grace_s=0.0, uploads_s=0.0)


def age(root: Path, seconds: float = 10.0) -> None:
    """Let everything look older."""
    then = time.time() - seconds
    for path in root.rglob("*"):
        if path.is_file():
            os.utime(path, (then, then))


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def push_blob(parts: Registry, name: str, data: bytes) -> Digest:
    digest = Digest(digest_of(data))
    upload = await parts.uploads.begin(name)
    await parts.uploads.finish(name, upload, digest, chunks(data))
    return digest


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Registry]:
    async with opened(load(None, {"root": str(tmp_path / "root")})) as parts:
        yield parts


def manifest_of(config: Digest, *layers: Digest, **members: object) -> bytes:
    import json

    def described(digest: Digest) -> dict[str, object]:
        return {"mediaType": "a/b", "digest": digest, "size": 1}

    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described(config),
         "layers": [described(layer) for layer in layers], **members}
    ).encode()  # fmt: skip


async def push_manifest(parts: Registry, name: str, data: bytes, tag: str = "",
                        kind: str = OCI_MANIFEST) -> Digest:  # fmt: skip
    reference = TagOrDigest(tag) if tag else TagOrDigest(digest=Digest(digest_of(data)))
    digest, _ = await parts.manifests.put(name, reference, kind, data)
    return digest


async def run(parts: Registry, keep: Retention = NOTHING_IS_YOUNG) -> Collected:
    return await parts.collector.collect(keep)


async def test_what_is_needed_stays(parts: Registry, tmp_path: Path) -> None:
    config, layer, extra = [await push_blob(parts, "a", data) for data in (b"c", b"l", b"extra")]
    await push_manifest(parts, "a", manifest_of(config, layer), "v1")
    age(tmp_path)
    found = await run(parts)
    assert (found.links, found.blobs, found.bytes) == (1, 1, 5)
    assert await parts.blobs.size("a", layer) == 1
    assert not await parts.blobs.has("a", extra)
    assert not (await run(parts)).blobs
    await parts.manifests.delete("a", Digest(digest_of(manifest_of(config, layer))))
    age(tmp_path)
    parts.blobs._linked_at.clear()  # as long ago as the files seem to be
    found = await run(parts)
    assert (found.links, found.blobs, found.repositories) == (2, 3, 1)
    assert await parts.catalog.names() == []
    files = [p for p in (tmp_path / "root" / "data").rglob("*") if p.is_file()]
    assert files == []


async def test_a_blob_stays_for_the_repository_that_needs_it(
    parts: Registry, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        await push_blob(parts, name, b"shared")
    config = await push_blob(parts, "b", b"config")
    await push_manifest(parts, "b", manifest_of(config, Digest(digest_of(b"shared"))), "v1")
    age(tmp_path)
    found = await run(parts)
    assert (found.links, found.blobs) == (1, 0)
    assert not await parts.blobs.has("a", Digest(digest_of(b"shared")))
    assert await parts.blobs.has("b", Digest(digest_of(b"shared")))


async def test_the_grace(parts: Registry, tmp_path: Path) -> None:
    digest = await push_blob(parts, "a", b"young")
    age(tmp_path, 100)
    assert (await run(parts, Retention(grace_s=200))).links == 0
    assert (await run(parts, Retention(grace_s=50))).links == 1
    assert not await parts.blobs.has("a", digest)


async def test_what_was_just_claimed_stays(parts: Registry, tmp_path: Path) -> None:
    claimed, mounted, left = [
        await push_blob(parts, "a", data) for data in (b"claimed", b"mounted", b"left")
    ]
    age(tmp_path)
    keep = Retention(grace_s=5)
    await parts.blobs.claim("a", claimed)
    assert await parts.blobs.mount("b", mounted, "a")
    found = await run(parts, keep)
    assert found.links == 2  # `left`, and the older link of `mounted`
    assert await parts.blobs.has("a", claimed)
    assert await parts.blobs.has("b", mounted)
    assert not await parts.blobs.has("a", left)


async def test_pushes_while_it_collects(parts: Registry, tmp_path: Path) -> None:
    """Whoever was told that a blob is here can push a manifest that names it."""
    layers = [await push_blob(parts, "a", b"layer%d" % n) for n in range(40)]
    age(tmp_path)
    refused = 0

    async def push(number: int) -> None:
        nonlocal refused
        layer = layers[number]
        try:
            await parts.blobs.claim("a", layer)
        except DistributionError:
            refused += 1  # gone already, and the client was told so: it sends it again
            layer = await push_blob(parts, "a", b"layer%d" % number)
        for _ in range(number % 5):
            await asyncio.sleep(0)
        await push_manifest(parts, "a", manifest_of(layer, layer), f"t{number}")

    async def collect_often() -> None:
        for _ in range(10):
            await run(parts, Retention(grace_s=5))

    await asyncio.gather(collect_often(), *map(push, range(40)))
    for number in range(40):
        info = await parts.manifests.info("a", TagOrDigest(f"t{number}"))
        for digest in (await parts.manifests.document("a", info.digest)).blobs:
            assert await parts.blobs.size("a", digest)


async def test_untagged_manifests(parts: Registry, tmp_path: Path) -> None:
    config = await push_blob(parts, "a", b"c")
    child, orphan, subject = [manifest_of(config, annotations={"n": n}) for n in "123"]
    for data in (child, orphan, subject):
        await push_manifest(parts, "a", data)
    await push_manifest(parts, "a", index_of(child), "index", OCI_INDEX)
    await push_manifest(parts, "a", subject, "subject")
    named = {"mediaType": OCI_MANIFEST, "digest": digest_of(subject), "size": 1}
    signature = await push_manifest(parts, "a", manifest_of(config, subject=named))
    lost = await push_manifest(
        parts, "a", manifest_of(config, subject=named | {"digest": digest_of(orphan)})
    )
    age(tmp_path)
    assert (await run(parts)).manifests == 0
    counted = await parts.collector.collect(replace(NOTHING_IS_YOUNG, untagged=True), dry_run=True)
    found = await run(parts, replace(NOTHING_IS_YOUNG, untagged=True))
    assert (counted.manifests, found.manifests) == (2, 2)
    left = {digest async for digest in parts.manifests.digests("a")}
    assert {digest_of(child), digest_of(subject), signature} < left
    assert not {Digest(digest_of(orphan)), lost} & left


async def test_a_damaged_manifest_keeps_its_repository(parts: Registry, tmp_path: Path) -> None:
    config = await push_blob(parts, "a", b"c")
    digest = await push_manifest(parts, "a", manifest_of(config), "v1")
    await parts.driver.delete(layout.blob(digest))
    age(tmp_path)
    found = await run(parts)
    assert (found.links, found.repositories) == (0, 0)
    await parts.manifests.delete("a", digest)


async def test_abandoned_uploads(parts: Registry, tmp_path: Path) -> None:
    old = await parts.uploads.begin("a")
    await parts.uploads.append("a", old, chunks(b"x"))
    age(tmp_path, 100)
    young = await parts.uploads.begin("a")
    assert (await run(parts, Retention(uploads_s=50))).uploads == 1
    assert await parts.uploads.offset("a", young) == 0
    assert len(os.listdir(tmp_path / "root" / "uploads")) == 1


async def test_the_owner_asks_the_server(tmp_path: Path) -> None:
    root = tmp_path / ("long" * 40)
    config = load(None, {"root": str(root)})
    async with registry_lab(root) as lab:
        await lab.push_blob("a", b"garbage")
        age(root)
        counted = await collect(config, NOTHING_IS_YOUNG, dry_run=True)
        assert (counted["blobs"], counted["links"], counted["bytes"]) == (1, 1, 7)
        assert (await collect(config, NOTHING_IS_YOUNG))["blobs"] == 1
        assert b"gc_runs_total 1" in (await lab.ask("GET", "/metrics")).body
        assert (root / "control.sock").stat().st_mode & 0o777 == 0o600
    # Without a server it collects by itself, also over what a killed one left.
    assert await control.ask(root, NOTHING_IS_YOUNG, dry_run=False) is None
    assert (await collect(config, NOTHING_IS_YOUNG))["blobs"] == 0
