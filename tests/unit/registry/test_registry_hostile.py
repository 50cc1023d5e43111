"""Registries that lie, stall, never end, or send their clients elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tiffin.registry.client import RegistryClient
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.endpoints import Endpoint
from tiffin.registry.errors import RegistryError, Unreachable
from tiffin.registry.reach import Guard, is_local
from tiffin.registry.transport import Patience, Retry
from tiffin.spec.descriptor import OCI_MANIFEST, Descriptor
from tiffin.spec.digest import digest_bytes

DIGEST = digest_bytes(b"x")
USER = Credentials("ann", "secret")
PATIENCE = Patience(
    connect_s=2, read_s=0.3, window_s=0.1, least_bytes=1000, document_s=1, finish_s=1
)
pauses: list[float] = []


async def pause(seconds: float) -> None:
    pauses.append(seconds)


@dataclass
class Script:
    """Answers every request with raw bytes, or lets a coroutine write as it likes."""

    answer: bytes | Callable[[asyncio.StreamWriter], Awaitable[None]] = b""
    ping: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    requests: list[str] = field(default_factory=list)
    host: str = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode("latin-1"):
                self.requests.append(head)
                if head.startswith("GET /v2/ "):
                    writer.write(self.ping)
                elif isinstance(self.answer, bytes):
                    writer.write(self.answer)
                else:
                    await self.answer(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has had enough, which is what most tests are about
        finally:
            writer.close()


@asynccontextmanager
async def registry(
    script: Script, credentials: Credentials = ANONYMOUS, attempts: int = 2
) -> AsyncIterator[RegistryClient]:
    server = await asyncio.start_server(script.handle, "127.0.0.1", 0)
    script.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = RegistryClient(
        Endpoint(f"http://{script.host}"), credentials,
        retry=Retry(attempts=attempts, sleep=pause), patience=PATIENCE,
    )  # fmt: skip
    async with server, client:
        yield client


def response(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines])
    return head.encode() + b"\r\n\r\n" + body


def redirect(target: str) -> bytes:
    return response(status="307 Temporary Redirect", Location=target)


async def manifest(script: Script, credentials: Credentials = ANONYMOUS) -> str:
    """Return how asking for a manifest fails."""
    async with registry(script, credentials) as client:
        with pytest.raises(RegistryError) as caught:
            await client.manifest("a/b", "v1")
        return str(caught.value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (redirect("/v2/a/b/manifests/v1"), "stopped after 10 redirects"),
        (redirect("ftp://127.0.0.1/x"), "unsupported redirect"),
        (redirect("file:///etc/passwd"), "unsupported redirect"),
        (redirect("http://[broken"), "invalid redirect URL"),
        (response(b"{}", Docker_Content_Digest=DIGEST), "manifest verification failed"),
        (response(b"x" * ((4 << 20) + 1)), "larger than 4194304 bytes"),
        (response(b"no", "418 Teapot"), "received unexpected HTTP status: 418: no"),
        (response(b"[" * 9999, "400 Bad Request"), "received unexpected HTTP status: 400"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "Client.Timeout exceeded"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", "70000|Got more than|too long"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200_000 + b"\r\n", ""),
        (b"what?\r\n\r\n", "Bad|Expected|Invalid|invalid"),
    ],
)
async def test_answers_that_are_none(answer: bytes, message: str) -> None:
    text = await manifest(Script(answer))
    assert any(part in text for part in message.split("|")), text


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        await writer.drain()


async def endless_refusal(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        await writer.drain()


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


async def test_bodies_without_end_and_bodies_that_drip() -> None:
    assert "larger than" in await manifest(Script(endless))
    assert "denied" in await manifest(Script(endless_refusal))
    assert "sends too slowly" in await manifest(Script(drip))
    async with registry(Script(drip)) as client:
        with pytest.raises(Unreachable, match="sends too slowly"):
            await read(client)


async def read(client: RegistryClient) -> None:
    async with client.blob("a/b", DIGEST) as body:
        async for _ in body.chunks:
            pass


async def test_credentials_stay_with_the_registry() -> None:
    elsewhere = Script(response(b"{}"))
    async with registry(elsewhere):
        sent_on = redirect(f"http://{elsewhere.host}/other")
        challenge = 'WWW-Authenticate: Basic realm="x"'
        ping = f"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n{challenge}\r\n\r\n".encode()
        script = Script(sent_on, ping)
        async with registry(script, USER) as client:
            await client.manifest("a/b", "v1")
            # A body is not carried elsewhere at all.
            with pytest.raises(RegistryError, match="refused to send the request's body on"):
                await client.put_manifest("a/b", "v1", Descriptor(OCI_MANIFEST, DIGEST, 2), b"{}")
    assert any("Authorization: Basic" in head for head in script.requests)
    assert elsewhere.requests
    assert not any("Authorization" in head for head in elsewhere.requests)


@pytest.mark.parametrize(
    ("realm", "message"),
    [
        ("http://192.0.2.1/token", "asks for credentials over plain HTTP"),
        ("ftp://192.0.2.1/token", "invalid token realm"),
        ("http://[broken", "invalid token realm URL"),
        ("", "invalid token realm"),
    ],
)
async def test_realms_that_get_no_credentials(realm: str, message: str) -> None:
    ping = response(status="401 Unauthorized", WWW_Authenticate=f'Bearer realm="{realm}"')
    assert message in await manifest(Script(b"", ping), USER)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b'{"token": 1}', "did not include a token"),
        (b'{"token": "a\\r\\nX: y"}', "malformed"),
        (b'{"token": "x", "expires_in": "soon"}', "malformed"),
        (b'{"token": "x", "expires_in": 1e999}', ""),
        (b"x" * ((1 << 20) + 1), "larger than"),
    ],
)
async def test_answers_of_token_servers(body: bytes, message: str) -> None:
    script = Script(response(body))
    async with registry(script, USER) as client:
        realm = f"http://{script.host}/token"
        script.ping = response(
            status="401 Unauthorized", WWW_Authenticate=f'Bearer realm="{realm}"'
        )
        if not message:
            await client.authorizer.header()
            return
        with pytest.raises(RegistryError, match=message):
            await client.authorizer.header()


@pytest.mark.parametrize(
    ("link", "message"),
    [
        ("</v2/a/b/tags/list>; rel=next", "leads nowhere"),
        ("<http://192.0.2.1/v2/a/b/tags/list>; rel=next", "leads nowhere"),
        ("<http://[x>; rel=next", "invalid next page URL"),
    ],
)
async def test_lists_that_never_end(link: str, message: str) -> None:
    async with registry(Script(response(b'{"tags":["x"]}', Link=link))) as client:
        with pytest.raises(RegistryError, match=message):
            await client.tags("a/b")


async def test_waiting_as_long_as_asked_but_not_longer() -> None:
    pauses.clear()
    script = Script(response(status="429 Too Many", Retry_After="7"))
    async with registry(script, attempts=3) as client:
        with pytest.raises(RegistryError, match="toomanyrequests"):
            await client.manifest("a/b", "v1")
        assert pauses == [7, 7]
        script.answer = response(status="503 No", Retry_After="86400")
        with pytest.raises(RegistryError, match="503"):
            await client.manifest("a/b", "v1")
        assert pauses == [7, 7]


@pytest.mark.parametrize(
    "url", ["file:///etc/shadow", "http://u:p@192.0.2.1/", "http://[", "", "//x"]
)
async def test_urls_of_foreign_layers(url: str) -> None:
    async with registry(Script()) as client:
        with pytest.raises(RegistryError, match="foreign layer URL"):
            async with client.foreign_blob(url):
                pass


def test_nobody_is_sent_to_this_machine_by_a_registry_elsewhere() -> None:
    elsewhere = Guard("registry.example.com", lambda host: host == "proxy")
    elsewhere.resolved("registry.example.com", ["192.0.2.1"])
    for host in ("127.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:127.0.0.1", "0.0.0.0",
                 "localhost", "x.localhost"):  # fmt: skip
        assert is_local(host)
        with pytest.raises(PermissionError, match="on this machine"):
            elsewhere.check(host)
    with pytest.raises(PermissionError):
        elsewhere.resolved("rebound.example.com", ["192.0.2.1", "127.0.0.1"])
    elsewhere.check("192.0.2.1")
    elsewhere.resolved("proxy", ["127.0.0.1"])
    for here in (Guard("127.0.0.1", lambda _: False), Guard("my.lan", lambda _: False)):
        here.resolved("my.lan", ["127.0.0.1"])
        here.check("127.0.0.1")
        here.resolved("other.lan", ["::1"])


async def test_the_guard_is_in_force() -> None:
    """A registry that is not here (so we say) names one that is, by name and by address."""
    script = Script(response(b"{}"))
    async with registry(script) as client:
        client._transport._guard = Guard("registry.example.com", lambda _: False)
        with pytest.raises(RegistryError, match="on this machine"):
            async with client.foreign_blob(f"http://{script.host}/x"):
                pass
    assert not script.requests
