"""The registry client against a registry that checks what it is sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from tiffin.registry.client import RegistryClient
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.endpoints import Endpoint, RegistryOptions, endpoints
from tiffin.registry.errors import RegistryError, Unreachable
from tiffin.registry.transport import Retry
from tiffin.spec.descriptor import OCI_MANIFEST, Descriptor
from tiffin.spec.digest import Digest, digest_bytes
from tiffin.testing.fake_registry import FakeRegistry

DATA = bytes(range(256)) * 64
pauses: list[float] = []


async def no_pause(seconds: float) -> None:
    pauses.append(seconds)


RETRY = Retry(sleep=no_pause)
USER = Credentials("ann", "secret")


def client_of(registry: FakeRegistry, credentials: Credentials = ANONYMOUS) -> RegistryClient:
    return RegistryClient(Endpoint(f"http://{registry.host}"), credentials, retry=RETRY)


async def read(client: RegistryClient, digest: str, offset: int = 0) -> tuple[int, bytes]:
    async with client.blob("a/b", Digest(digest), offset) as body:
        return body.offset, b"".join([chunk async for chunk in body.chunks])


async def chunks_of(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]


@pytest.mark.parametrize("auth", ["", "basic", "token"])
async def test_blobs_and_manifests(auth: str) -> None:
    async with (
        FakeRegistry(auth=auth, users={"ann": "secret"}) as registry,
        client_of(registry, USER) as client,
    ):
        digest = digest_bytes(DATA)
        assert not await client.has_blob("a/b", digest)
        upload = await client.begin_upload("a/b")
        await client.upload(upload, digest, len(DATA), chunks_of(DATA))
        assert await client.has_blob("a/b", digest)
        assert await read(client, digest) == (0, DATA)
        assert await read(client, digest, 1000) == (1000, DATA[1000:])

        manifest = b'{"schemaVersion":2}'
        descriptor = Descriptor(OCI_MANIFEST, digest_bytes(manifest), len(manifest))
        await client.put_manifest("a/b", "v1", descriptor, manifest)
        await client.put_manifest("a/b", "v2", descriptor, manifest)
        found = await client.manifest("a/b", "v1")
        assert (found.descriptor, found.data) == (descriptor, manifest)
        assert (await client.manifest("a/b", descriptor.digest)).data == manifest
        assert await client.tags("a/b") == ["v1", "v2"]


async def test_chunked_upload_and_mount() -> None:
    async with FakeRegistry() as registry, client_of(registry) as client:
        digest = digest_bytes(DATA)
        upload = await client.begin_upload("a/b")
        async for chunk in chunks_of(DATA):
            upload = await client.upload_piece(upload, len(chunk), chunk)
        assert upload.offset == len(DATA)
        await client.finish_upload(upload, digest)
        assert registry.blobs[digest] == DATA
        assert await client.mount("c", digest, "a/b") is None
        assert digest in registry.repositories["c"]
        assert await client.mount("d", digest, "nowhere") is not None


async def test_token_is_renewed_and_shared() -> None:
    async with (
        FakeRegistry(auth="token", users={"ann": "secret"}) as registry,
        client_of(registry, USER) as client,
    ):
        digest = registry.add_blob("a/b", DATA)
        await asyncio.gather(*(client.has_blob("a/b", Digest(digest)) for _ in range(5)))
        assert registry.log.count("GET /token") == 1
        registry.expire_tokens()
        assert await client.has_blob("a/b", Digest(digest))
        assert registry.log.count("GET /token") == 2


async def test_login_gives_an_identity_token_that_works() -> None:
    async with FakeRegistry(auth="token", users={"ann": "secret"}) as registry:
        registry.add_blob("a/b", DATA)
        async with client_of(registry, USER) as client:
            token = await client.authorizer.login()
        assert token
        async with client_of(registry, Credentials(identity_token=token)) as client:
            assert (await read(client, digest_bytes(DATA)))[1] == DATA
        with pytest.raises(RegistryError) as caught:
            async with client_of(registry, Credentials("ann", "wrong")) as client:
                await client.authorizer.login()
        assert str(caught.value) == "unauthorized: incorrect username or password"


async def test_anonymous_pull_with_token() -> None:
    async with FakeRegistry(auth="token", anonymous_pull=True) as registry:
        digest = registry.add_blob("a/b", DATA)
        async with client_of(registry) as client:
            assert (await read(client, digest))[1] == DATA
            with pytest.raises(RegistryError) as caught:
                await client.begin_upload("a/b")
            assert caught.value.status == 401


async def test_basic_without_credentials() -> None:
    async with FakeRegistry(auth="basic") as registry, client_of(registry) as client:
        with pytest.raises(RegistryError, match="no basic auth credentials"):
            await client.manifest("a/b", "x")


async def test_errors_have_the_registrys_words() -> None:
    async with FakeRegistry() as registry, client_of(registry) as client:
        with pytest.raises(RegistryError) as caught:
            await client.manifest("a/b", "x")
        assert caught.value.code == "NAME_UNKNOWN"
        assert str(caught.value) == "name unknown: repository name not known to registry"


async def test_passing_failures_are_retried_with_growing_pauses() -> None:
    pauses.clear()
    async with FakeRegistry() as registry, client_of(registry) as client:
        registry.add_manifest("a/b", "x", OCI_MANIFEST, b"{}")
        registry.faults.statuses = [503, 429, 500]
        await client.manifest("a/b", "x")
        assert pauses == [0.25, 0.5, 1.0]
        registry.faults.statuses = [503] * 9
        with pytest.raises(RegistryError, match="received unexpected HTTP status: 503"):
            await client.manifest("a/b", "x")
        assert len(registry.faults.statuses) == 4


async def test_wrong_manifest_for_a_digest_is_refused() -> None:
    async with FakeRegistry() as registry, client_of(registry) as client:
        digest = registry.add_manifest("a/b", "", OCI_MANIFEST, b"{}")
        registry.manifests["a/b"][digest] = (OCI_MANIFEST, b"{ }")
        with pytest.raises(RegistryError, match="manifest verification failed for digest"):
            await client.manifest("a/b", digest)


async def test_huge_manifest_is_refused() -> None:
    async with FakeRegistry() as registry, client_of(registry) as client:
        registry.add_manifest("a/b", "x", OCI_MANIFEST, bytes(5 << 20))
        with pytest.raises(RegistryError, match="larger than"):
            await client.manifest("a/b", "x")


async def test_redirects_do_not_carry_credentials() -> None:
    async with (
        FakeRegistry() as storage,
        FakeRegistry(auth="basic", users={"ann": "secret"}) as registry,
    ):
        digest = registry.add_blob("a/b", DATA)
        storage.add_blob("a/b", DATA)
        registry.faults.redirect_to = f"http://{storage.host}"
        async with client_of(registry, USER) as client:
            assert await read(client, digest, 5) == (5, DATA[5:])
        assert storage.authorizations == [""]
        assert any(registry.authorizations)


async def test_broken_download_is_unreachable() -> None:
    async with FakeRegistry() as registry, client_of(registry) as client:
        digest = registry.add_blob("a/b", DATA)
        registry.faults.break_after[digest] = 100
        with pytest.raises(Unreachable, match="unexpected EOF"):
            await read(client, digest)


async def test_nobody_there() -> None:
    async with FakeRegistry() as registry:
        host = registry.host
    async with RegistryClient(Endpoint(f"https://{host}"), retry=RETRY) as client:
        with pytest.raises(Unreachable) as caught:
            await client.authorizer.ping()
    assert str(caught.value) == (
        f'Get "https://{host}/v2/": dial tcp {host}: connect: connection refused'
    )


@asynccontextmanager
async def tls_registry() -> AsyncIterator[tuple[FakeRegistry, trustme.CA]]:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with FakeRegistry(tls=context) as registry:
        yield registry, authority


async def test_tls_is_verified(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with tls_registry() as (registry, authority):
        url = f"https://{registry.host}"
        async with RegistryClient(Endpoint(url), retry=RETRY) as client:
            with pytest.raises(Unreachable, match="failed to verify certificate: x509"):
                await client.authorizer.ping()
        async with RegistryClient(Endpoint(url, verify=False), retry=RETRY) as client:
            await client.authorizer.ping()
        directory = tmp_path_factory.mktemp("certs")
        (directory / registry.host).mkdir()
        authority.cert_pem.write_to_path(str(directory / registry.host / "ca.crt"))
        endpoint = Endpoint(url, certificates=(directory,))
        async with RegistryClient(endpoint, retry=RETRY) as client:
            await client.authorizer.ping()


async def test_plain_server_for_a_tls_client() -> None:
    async with FakeRegistry() as registry:
        endpoint = Endpoint(f"https://{registry.host}")
        async with RegistryClient(endpoint, retry=RETRY) as client:
            with pytest.raises(Unreachable) as caught:
                await client.authorizer.ping()
    assert "http: server gave HTTP response to HTTPS client" in str(caught.value)


@pytest.mark.parametrize(
    ("domain", "urls"),
    [
        ("docker.io", ["http://mirror", "https://registry-1.docker.io"]),
        ("127.0.0.1:5000", ["https://127.0.0.1:5000", "http://127.0.0.1:5000"]),
        ("[::1]:5000", ["https://[::1]:5000", "http://[::1]:5000"]),
        ("10.1.2.3", ["https://10.1.2.3", "http://10.1.2.3"]),
        ("192.0.2.1", ["https://192.0.2.1"]),
        ("listed:1", ["https://listed:1", "http://listed:1"]),
    ],
)
async def test_endpoints(domain: str, urls: list[str]) -> None:
    options = RegistryOptions(("http://mirror/",), ("10.0.0.0/8", "listed:1"))
    if domain == "docker.io":
        options = RegistryOptions(("http://mirror/",), ("docker.io",))
    found = await endpoints(domain, options)
    assert [each.url for each in found] == urls
    assert found[-1].verify
