"""The pull-through cache, in front of a registry that can be made to fail."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from aiohttp import web

from tiffin.distribution.config_file import load
from tiffin.distribution.service import opened
from tiffin.distribution.wiring import application
from tiffin.testing.registry_lab import RegistryLab, digest_of, registry_lab

LAYER = os.urandom(3 << 20)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Faulty:
    """An upstream registry whose answers can be spoilt."""

    def __init__(self) -> None:
        self.status = 0
        self.cut_at = -1
        self.corrupt = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: Counter[str] = Counter()
        self.lab: RegistryLab

    @asynccontextmanager
    async def serving(self, root: Path) -> AsyncIterator[None]:
        config = load(None, {"root": str(root), "log-format": "none"})
        async with opened(config) as parts:
            app = application(config, parts)
            app.middlewares.insert(0, cast("Any", self._spoil))
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            base = f"http://127.0.0.1:{runner.addresses[0][1]}"
            async with aiohttp.ClientSession() as session:
                self.lab = RegistryLab(base, session)
                yield
            await runner.cleanup()

    @property
    def _spoil(self) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
        @web.middleware
        async def spoil(request: web.Request, handler: Handler) -> web.StreamResponse:
            kind = request.path.rsplit("/", 2)[-2]
            self.asked[f"{request.method} {kind}"] += 1
            await self.gate.wait()
            if self.status and request.path != "/v2/":
                return web.Response(status=self.status)
            if kind == "blobs" and request.method == "GET" and (self.cut_at >= 0 or self.corrupt):
                return await self._spoilt_blob(request)
            return await handler(request)

        return spoil

    async def _spoilt_blob(self, request: web.Request) -> web.StreamResponse:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        data = LAYER[start:]
        if self.corrupt:
            return web.Response(body=b"x" * len(data))
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(data)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(LAYER) - 1}/{len(LAYER)}"
        await response.prepare(request)
        cut, self.cut_at = self.cut_at, -1
        await response.write(data[:cut])
        assert request.transport is not None
        request.transport.close()
        return response


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[Faulty]:
    faulty = Faulty()
    async with faulty.serving(tmp_path / "upstream"):
        yield faulty


@asynccontextmanager
async def cache(upstream: Faulty, root: Path, ttl: str = "1h") -> AsyncIterator[RegistryLab]:
    mirror = {"upstream": str(upstream.lab.base), "ttl": ttl}
    async with registry_lab(root, mirror=mirror) as lab:
        yield lab


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiffin.distribution.mirror.upstream._REST_S", 0.0)


async def pull(lab: RegistryLab, name: str, tag: str) -> bytes:
    manifest = await lab.ask("GET", f"/v2/{name}/manifests/{tag}")
    assert manifest.status == 200, manifest
    for part in [manifest.json["config"], *manifest.json["layers"]]:
        blob = await lab.ask("GET", f"/v2/{name}/blobs/{part['digest']}")
        assert blob.status == 200, blob
        assert digest_of(blob.body) == part["digest"]
    return manifest.body


async def test_everything_comes_once(upstream: Faulty, tmp_path: Path) -> None:
    manifest = await upstream.lab.push_image("a/b", "v1", LAYER)
    async with cache(upstream, tmp_path / "cache") as lab:
        upstream.asked.clear()
        for _ in range(3):
            assert await pull(lab, "a/b", "v1") == manifest
        assert upstream.asked["GET manifests"] == 1
        assert upstream.asked["GET blobs"] == 2
        assert (await lab.ask("GET", "/v2/_catalog")).json == {"repositories": ["a/b"]}
        metrics = (await lab.ask("GET", "/metrics")).body.decode()
        assert "mirror_misses_total 3\n" in metrics
    # It is all there after a restart, and the spool is empty.
    upstream.status = 500
    async with cache(upstream, tmp_path / "cache") as lab:
        assert await pull(lab, "a/b", "v1") == manifest
    assert not os.listdir(tmp_path / "cache" / "spool")


async def test_simultaneous_misses_are_one(upstream: Faulty, tmp_path: Path) -> None:
    await upstream.lab.push_image("a/b", "v1", LAYER)
    async with cache(upstream, tmp_path / "cache") as lab:
        upstream.asked.clear()
        upstream.gate.clear()
        pulls = [asyncio.create_task(pull(lab, "a/b", "v1")) for _ in range(20)]
        await asyncio.sleep(0)
        upstream.gate.set()
        await asyncio.gather(*pulls)
        assert upstream.asked["GET manifests"] == 1
        assert upstream.asked["GET blobs"] == 2


async def test_a_blob_is_read_while_it_comes(upstream: Faulty, tmp_path: Path) -> None:
    digest = await upstream.lab.push_blob("a/b", LAYER)
    async with cache(upstream, tmp_path / "cache") as lab:
        path = f"/v2/a/b/blobs/{digest}"
        whole, part, head = await asyncio.gather(
            lab.ask("GET", path),
            lab.ask("GET", path, Range="bytes=1000000-1000099"),
            lab.ask("HEAD", path),
        )
        assert whole.body == LAYER
        assert (part.status, part.body) == (206, LAYER[1_000_000:1_000_100])
        assert head.headers["Content-Length"] == str(len(LAYER))


async def test_tags_are_asked_for_again(upstream: Faulty, tmp_path: Path) -> None:
    first = await upstream.lab.push_image("a/b", "v1", b"one")
    async with cache(upstream, tmp_path / "cache", ttl="1ms") as lab:
        assert await pull(lab, "a/b", "v1") == first
        upstream.asked.clear()
        await asyncio.sleep(0.01)
        assert await pull(lab, "a/b", "v1") == first
        assert (upstream.asked["HEAD manifests"], upstream.asked["GET manifests"]) == (1, 0)
        second = await upstream.lab.push_image("a/b", "v1", b"two")
        await asyncio.sleep(0.01)
        assert await pull(lab, "a/b", "v1") == second
        await upstream.lab.ask("DELETE", "/v2/a/b/manifests/v1")
        await asyncio.sleep(0.01)
        gone = await lab.ask("GET", "/v2/a/b/manifests/v1")
        assert (gone.status, gone.code) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_stale_is_better_than_nothing(upstream: Faulty, tmp_path: Path, status: int) -> None:
    manifest = await upstream.lab.push_image("a/b", "v1", b"one")
    async with cache(upstream, tmp_path / "cache", ttl="1ms") as lab:
        await pull(lab, "a/b", "v1")
        upstream.status = status
        await asyncio.sleep(0.01)
        found = await lab.ask("GET", "/v2/a/b/manifests/v1")
        assert (found.status, found.body) == (200, manifest)
        assert found.headers["Warning"].startswith("299 - ")
        assert (await lab.ask("GET", "/v2/a/b/tags/list")).json["tags"] == ["v1"]
        assert (await lab.ask("GET", f"/v2/a/b/referrers/{digest_of(b'')}")).status == 200
        unknown = await lab.ask("GET", "/v2/a/b/manifests/v2")
        assert unknown.status in (429, 502)
        assert unknown.code == ("TOOMANYREQUESTS" if status == 429 else "UNAVAILABLE")
        upstream.status = 0
        await asyncio.sleep(0.01)
        assert "Warning" not in (await lab.ask("GET", "/v2/a/b/manifests/v1")).headers


async def test_a_failing_upstream_is_left_alone_for_a_while(
    upstream: Faulty, tmp_path: Path
) -> None:
    await upstream.lab.push_image("a/b", "v1", b"one")
    async with cache(upstream, tmp_path / "cache", ttl="1ms") as lab:
        await pull(lab, "a/b", "v1")
        upstream.status = 503
        await asyncio.sleep(0.01)
        await lab.ask("GET", "/v2/a/b/manifests/v1")
        upstream.asked.clear()
        for _ in range(5):
            assert (await lab.ask("GET", "/v2/a/b/manifests/v1")).status == 200
        assert not upstream.asked


async def test_what_upstream_denies(upstream: Faulty, tmp_path: Path) -> None:
    async with cache(upstream, tmp_path / "cache") as lab:
        assert (await lab.ask("GET", "/v2/a/b/manifests/v1")).code == "MANIFEST_UNKNOWN"
        assert (await lab.ask("GET", f"/v2/a/b/blobs/{digest_of(b'')}")).code == "BLOB_UNKNOWN"
        assert (await lab.ask("HEAD", f"/v2/a/b/blobs/{digest_of(b'')}")).status == 404
        assert (await lab.ask("GET", "/v2/a/b/tags/list")).code == "NAME_UNKNOWN"
        upstream.status = 403
        assert (await lab.ask("GET", "/v2/a/b/manifests/v1")).code == "DENIED"
        upstream.status = 418
        assert (await lab.ask("GET", "/v2/a/b/manifests/v1")).status == 502
        pushed = await lab.ask("POST", "/v2/a/b/blobs/uploads/")
        assert (pushed.status, pushed.code) == (405, "UNSUPPORTED")


async def test_a_broken_transfer_goes_on(upstream: Faulty, tmp_path: Path) -> None:
    digest = await upstream.lab.push_blob("a/b", LAYER)
    async with cache(upstream, tmp_path / "cache") as lab:
        upstream.cut_at = 1_000_000
        found = await lab.ask("GET", f"/v2/a/b/blobs/{digest}")
        assert (found.status, found.body) == (200, LAYER)
        assert upstream.asked["GET blobs"] == 2


async def test_wrong_bytes_are_not_kept(upstream: Faulty, tmp_path: Path) -> None:
    digest = await upstream.lab.push_blob("a/b", LAYER)
    async with cache(upstream, tmp_path / "cache") as lab:
        upstream.corrupt = True
        path = f"/v2/a/b/blobs/{digest}"
        try:
            assert (await lab.ask("GET", path)).body != LAYER
        except aiohttp.ClientError:
            pass  # cut off, which is as well
        upstream.corrupt = False
        assert (await lab.ask("GET", path)).body == LAYER
    assert not os.listdir(tmp_path / "cache" / "spool")


async def test_a_blob_of_another_repository_is_asked_for(upstream: Faulty, tmp_path: Path) -> None:
    digest = await upstream.lab.push_blob("a/b", LAYER)
    async with cache(upstream, tmp_path / "cache") as lab:
        await lab.ask("GET", f"/v2/a/b/blobs/{digest}")
        assert (await lab.ask("GET", f"/v2/other/blobs/{digest}")).status == 404
        await upstream.lab.push_blob("other", LAYER)
        upstream.asked.clear()
        assert (await lab.ask("GET", f"/v2/other/blobs/{digest}")).body == LAYER
        assert (upstream.asked["HEAD blobs"], upstream.asked["GET blobs"]) == (1, 0)


async def test_referrers_come_from_upstream(upstream: Faulty, tmp_path: Path) -> None:
    subject = await upstream.lab.push_image("a/b", "v1", b"one")
    named = {"mediaType": "a/b", "digest": digest_of(subject), "size": len(subject)}
    signature = await upstream.lab.push_image("a/b", "sig", b"s", subject=named)
    async with cache(upstream, tmp_path / "cache") as lab:
        found = await lab.ask("GET", f"/v2/a/b/referrers/{digest_of(subject)}")
        assert [entry["digest"] for entry in found.json["manifests"]] == [digest_of(signature)]
        by_digest = await lab.ask("GET", f"/v2/a/b/manifests/{digest_of(signature)}")
        assert by_digest.body == signature
