"""Hijacked connections over real sockets: half-close, early input, volume, descriptors."""

import asyncio
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from tests.unit.server.server_serving import served

from tiffin.errors import NotFound
from tiffin.server.app import application, runner
from tiffin.server.hijack import hijack
from tiffin.server.routing import Route
from tiffin.server.tls import TlsProtocol

REQUEST = (
    b"POST /v1.50/containers/x/attach?stream=1 HTTP/1.1\r\nHost: docker\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
)
OLD_REQUEST = b"POST /containers/x/attach HTTP/1.1\r\nHost: docker\r\n\r\n"
BODY = b'{"Detach":false}'
EXEC = (
    b"POST /exec/abc/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY)
)
INPUT = os.urandom(3 << 20)


def echo(fd: int, prefix: bytes) -> None:
    """What a container does that ends at the end of its input: `cat`, then a word."""
    with socket.socket(fileno=fd) as sock:
        sock.setblocking(True)
        data = prefix
        total = len(prefix)
        while True:
            if data:
                sock.sendall(data)
            data = sock.recv(1 << 16)
            total += len(data)
            if not data:
                break
        sock.sendall(b"<end %d>" % total)
        sock.shutdown(socket.SHUT_WR)


async def attach(request: web.Request) -> web.StreamResponse:
    await request.read()
    connection = await hijack(request)
    threading.Thread(target=echo, args=(os.dup(connection.fd), connection.prefix)).start()
    connection.close()
    return connection.response


async def refuse(request: web.Request) -> web.StreamResponse:
    raise NotFound("No such container: nope")


ROUTES = [
    Route("POST", "/containers/{name:.+}/attach", attach),
    Route("POST", "/exec/{id}/start", attach),
]


async def descriptors_are_back_to(count: int) -> None:
    async with asyncio.timeout(5):
        while len(os.listdir("/proc/self/fd")) > count:  # noqa: ASYNC110  # the kernel has no event
            await asyncio.sleep(0.01)


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def exchange(streams: Streams, request: bytes, data: bytes) -> tuple[bytes, bytes]:
    reader, writer = streams

    async def send() -> None:
        writer.write(request)
        for at in range(0, len(data), 1 << 16):
            writer.write(data[at : at + (1 << 16)])
            await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    head = await reader.readuntil(b"\r\n\r\n")
    answer = await reader.read()
    await sending
    writer.close()
    return head, answer


@pytest.mark.parametrize("request_bytes", [REQUEST, OLD_REQUEST, EXEC + BODY])
@pytest.mark.parametrize("size", [0, 5, len(INPUT)])
async def test_input_sent_with_the_request_is_not_lost(
    tmp_path: Path, request_bytes: bytes, size: int
) -> None:
    async with served(ROUTES, str(tmp_path / "s")) as api:
        head, answer = await exchange(await api.raw(), request_bytes, INPUT[:size])
    upgraded = b"Upgrade" in request_bytes
    assert head.startswith(b"HTTP/1.1 101 UPGRADED" if upgraded else b"HTTP/1.1 200 OK")
    assert b"Content-Type: application/vnd.docker.raw-stream\r\n" in head
    assert answer == INPUT[:size] + b"<end %d>" % size


async def test_request_in_pieces(tmp_path: Path) -> None:
    async with served(ROUTES, str(tmp_path / "s")) as api:
        message = EXEC + BODY + b"early"
        for cut in range(1, len(message), 7):
            reader, writer = await api.raw()
            writer.write(message[:cut])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(message[cut:])
            writer.write_eof()
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.read() == b"early<end 5>", cut
            writer.close()


async def test_a_refused_hijack_leaves_the_connection_usable(tmp_path: Path) -> None:
    async def plain(request: web.Request) -> web.Response:
        return web.Response(text="fine")

    routes = [
        Route("POST", "/containers/{name:.+}/attach", refuse),
        Route("GET", "/plain", plain),
    ]
    async with served(routes, str(tmp_path / "s")) as api:
        reader, writer = await api.raw()
        writer.write(OLD_REQUEST.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"))
        writer.write(b"GET /plain HTTP/1.1\r\nHost: d\r\n\r\n")
        assert b" 404 " in await reader.readuntil(b"\r\n\r\n")
        assert b"No such container: nope" in await reader.readline()
        assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(4) == b"fine"
        writer.close()


async def test_an_upload_that_looks_like_a_hijack_is_an_upload(tmp_path: Path) -> None:
    async def upload(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async with served([Route("PUT", "/u", upload)], str(tmp_path / "s")) as api:
        reader, writer = await api.raw()
        writer.write(b"PUT /u HTTP/1.1\r\nHost: d\r\nContent-Length: %d\r\n\r\n" % len(REQUEST))
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(REQUEST)) == REQUEST
        writer.close()


async def test_hundreds_of_hijacks_leak_no_descriptor(tmp_path: Path) -> None:
    async with served(ROUTES, str(tmp_path / "s")) as api:
        await exchange(await api.raw(), REQUEST, b"x")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            answers = await asyncio.gather(
                *[exchange(await api.raw(), REQUEST, b"hello") for _ in range(30)]
            )
            assert {answer for _, answer in answers} == {b"hello<end 5>"}
        await descriptors_are_back_to(before)


async def test_output_may_end_before_input(tmp_path: Path) -> None:
    async with served(
        [Route("POST", "/containers/{n}/attach", first := _Talker())], str(tmp_path / "s")
    ) as api:
        reader, writer = await api.raw()
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.read() == b"bye"
        writer.write(INPUT)
        writer.write_eof()
        assert await first.got == INPUT
        writer.close()


class _Talker:
    """A handler whose output ends first; `got` becomes its whole input."""

    def __init__(self) -> None:
        self.got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        connection = await hijack(request)
        threading.Thread(
            target=self._talk,
            args=(connection.fd, connection.prefix, asyncio.get_running_loop()),
        ).start()
        return connection.response

    def _talk(self, fd: int, prefix: bytes, loop: asyncio.AbstractEventLoop) -> None:
        with socket.socket(fileno=fd) as sock:
            sock.setblocking(True)
            sock.sendall(b"bye")
            sock.shutdown(socket.SHUT_WR)
            got = bytearray(prefix)
            while data := sock.recv(1 << 16):
                got += data
        loop.call_soon_threadsafe(self.got.set_result, bytes(got))


# TLS. The client uses a blocking SSL socket pair of threads, as asyncio's own TLS cannot half-close.


@dataclass
class TlsServer:
    port: int
    client: ssl.SSLContext


@asynccontextmanager
async def tls_served(routes: list[Route]) -> AsyncIterator[TlsServer]:
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_context)
    authority.configure_trust(server_context)
    server_context.verify_mode = ssl.CERT_REQUIRED
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    authority.issue_cert("client@example.org").configure_cert(client_context)
    engine = runner(application(routes))
    await engine.setup()
    factory = engine.server
    assert factory is not None
    server = await asyncio.get_running_loop().create_server(
        lambda: TlsProtocol(server_context, factory), "127.0.0.1", 0
    )
    try:
        yield TlsServer(server.sockets[0].getsockname()[1], client_context)
    finally:
        server.close()
        await engine.cleanup()


class TlsClient:
    """A TLS client that can half-close: memory BIOs over a blocking socket."""

    def __init__(self, server: TlsServer) -> None:
        self.sock = socket.create_connection(("127.0.0.1", server.port))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = server.client.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.lock = threading.Lock()
        self._until(self.tls.do_handshake)

    def _until(self, operation: Callable[[], object]) -> object:
        while True:
            with self.lock:
                try:
                    done, result = True, operation()
                except ssl.SSLWantReadError:
                    done, result = False, None
                except ssl.SSLZeroReturnError:
                    done, result = True, b""
                pending = self.outgoing.read()
            if pending:
                self.sock.sendall(pending)
            if done:
                return result
            data = self.sock.recv(1 << 16)
            with self.lock:
                self.incoming.write(data) if data else self.incoming.write_eof()

    def send(self, data: bytes) -> None:
        for at in range(0, len(data), 1 << 16):
            with self.lock:
                self.tls.write(data[at : at + (1 << 16)])
                pending = self.outgoing.read()
            self.sock.sendall(pending)

    def say(self, data: bytes) -> None:
        self.send(data)
        self.finish()

    def finish(self) -> None:
        """Say close_notify and nothing more, as Go's CloseWrite does."""
        with self.lock:
            waiting = self.incoming.read()
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.unwrap()
            self.incoming.write(waiting)
            pending = self.outgoing.read()
        self.sock.sendall(pending)

    def read(self) -> bytes:
        got = bytearray()
        while data := self._until(lambda: self.tls.read(1 << 16)):
            assert isinstance(data, bytes)
            got += data
        return bytes(got)


def tls_exchange(server: TlsServer, request: bytes, data: bytes) -> bytes:
    client = TlsClient(server)
    with client.sock:
        sender = threading.Thread(target=client.say, args=(request + data,))
        sender.start()
        answer = client.read()
        sender.join()
        return answer


@pytest.mark.parametrize("request_bytes", [REQUEST, EXEC + BODY])
@pytest.mark.parametrize("size", [0, 5, len(INPUT)])
async def test_half_close_over_tls(request_bytes: bytes, size: int) -> None:
    async with tls_served(ROUTES) as server:
        answer = await asyncio.wait_for(
            asyncio.to_thread(tls_exchange, server, request_bytes, INPUT[:size]), 60
        )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 UPGRADED")
    assert body == INPUT[:size] + b"<end %d>" % size


async def test_output_may_end_before_input_over_tls() -> None:
    talker = _Talker()

    def ask(server: TlsServer) -> bytes:
        client = TlsClient(server)
        with client.sock:
            client.send(REQUEST)
            answer = client.read()
            client.say(INPUT)
            return answer

    async with tls_served([Route("POST", "/containers/{n}/attach", talker)]) as server:
        answer = await asyncio.wait_for(asyncio.to_thread(ask, server), 30)
        assert answer.endswith(b"\r\n\r\nbye")
        assert await asyncio.wait_for(talker.got, 30) == INPUT


async def test_tls_hijacks_leak_no_descriptor() -> None:
    async with tls_served(ROUTES) as server:
        await asyncio.to_thread(tls_exchange, server, REQUEST, b"x")
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(20):
            await asyncio.to_thread(tls_exchange, server, REQUEST, b"x")
        await descriptors_are_back_to(before)


async def test_ordinary_requests_over_tls() -> None:
    async def whole(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    def ask(server: TlsServer) -> bytes:
        client = TlsClient(server)
        body = b"y" * 1_000_000
        client.send(
            b"POST /echo HTTP/1.1\r\nHost: d\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body
        )
        answer = client.read()
        client.sock.close()
        return answer

    async with tls_served([Route("POST", "/echo", whole)]) as server:
        answer = await asyncio.wait_for(asyncio.to_thread(ask, server), 30)
        assert answer.endswith(b"y" * 1_000_000)


async def test_a_client_without_certificate_is_turned_away() -> None:
    async with tls_served(ROUTES) as server:
        stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE

        def ask() -> bytes:
            client = TlsClient(TlsServer(server.port, stranger))
            with client.sock:
                client.send(b"GET / HTTP/1.1\r\nHost: d\r\n\r\n")
                return client.read()

        with pytest.raises(ssl.SSLError, match=r"(?i)certificate"):
            await asyncio.wait_for(asyncio.to_thread(ask), 10)
