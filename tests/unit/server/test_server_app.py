import asyncio
import io
import logging
import os
import shutil
from collections.abc import AsyncIterator

import aiohttp
import pytest
import yarl
from aiohttp import web
from tests.unit.server.server_serving import Serve

from tiffin import errors
from tiffin.server.routing import Handler, Route
from tiffin.server.stream import JsonLines, RequestReader, ResponseWriter, stream_bytes
from tiffin.server.version import request_version


async def hello(request: web.Request) -> web.Response:
    return web.json_response(
        {"name": request.match_info.get("name"), "version": str(request_version(request))}
    )


def raising(error: BaseException) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        raise error

    return handler


ROUTES = [
    Route("GET", "/things/json", hello),
    Route("GET", "/things/{name:.+}/json", hello),
    Route("GET", "/plain/{name}", hello),
    Route("GET", "/new", hello, since="1.40"),
]


@pytest.mark.parametrize(
    ("path", "name", "version"),
    [
        ("/things/json", None, "1.50"),
        ("/v1.24/things/json", None, "1.24"),
        ("/v1.41/things/a/b:c/json", "a/b:c", "1.41"),
        ("/things/a%2Fb/json", "a/b", "1.50"),
        ("/things/100%25/json", "100%", "1.50"),
        ("/plain/a%20b", "a b", "1.50"),
        ("/plain/a%2Fb", "a/b", "1.50"),
        ("/v1.40/new", None, "1.40"),
    ],
)
async def test_routes_match_with_and_without_version(
    serve: Serve, path: str, name: str | None, version: str
) -> None:
    api = await serve(ROUTES)
    async with api.client.get(yarl.URL("http://docker" + path, encoded=True)) as response:
        assert response.status == 200
        assert await response.json() == {"name": name, "version": version}


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nothing", 404, "page not found"),
        ("POST", "/things/json", 404, "page not found"),
        ("GET", "/v1.39/new", 404, "page not found"),
        ("GET", "/v1.50/volumes", 404, "page not found"),
        (
            "GET",
            "/v1.99/things/json",
            400,
            "client version 1.99 is too new. Maximum supported API version is 1.50",
        ),
        (
            "GET",
            "/v1.10/things/json",
            400,
            (
                "client version 1.10 is too old. Minimum supported API version is 1.24,"
                " please upgrade your client to a newer version"
            ),
        ),
    ],
)
async def test_what_is_not_there_is_said_in_dockers_words(
    serve: Serve, method: str, path: str, status: int, message: str
) -> None:
    api = await serve(ROUTES)
    async with api.client.request(method, path) as response:
        assert (response.status, await response.json()) == (status, {"message": message})


async def test_headers_that_clients_negotiate_by(serve: Serve) -> None:
    api = await serve(ROUTES)
    for path in ("/things/json", "/nothing"):
        async with api.client.get(path) as response:
            assert response.headers["Api-Version"] == "1.50"
            assert response.headers["Ostype"] == "linux"
            assert response.headers["Docker-Experimental"] == "false"
            assert response.headers["Server"].startswith("Tiffin/")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidArgument("x"), 400),
        (errors.Unauthorized("x"), 401),
        (errors.PermissionDenied("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.AlreadyExists("x"), 409),
        (errors.Conflict("x"), 409),
        (errors.FailedPrecondition("x"), 500),
        (errors.Unavailable("x"), 503),
        (errors.Unimplemented("x"), 501),
        (errors.Cancelled("x"), 499),
        (errors.DataLoss("x"), 500),
    ],
)
async def test_each_error_has_its_status(
    serve: Serve, error: errors.TiffinError, status: int
) -> None:
    api = await serve([Route("GET", "/e", raising(error))])
    async with api.client.get("/e") as response:
        assert (response.status, await response.json()) == (status, {"message": "x"})


async def test_not_modified_has_no_body(serve: Serve) -> None:
    api = await serve([Route("POST", "/e", raising(errors.NotModified("already started")))])
    async with api.client.post("/e") as response:
        assert (response.status, await response.read()) == (304, b"")


async def test_unexpected_errors_are_logged_and_not_shown(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    routes = [
        Route("GET", "/bug", raising(ZeroDivisionError("secret"))),
        Route("GET", "/disk", raising(OSError(28, "No space left on device", "/x"))),
    ]
    api = await serve(routes)
    with caplog.at_level(logging.ERROR):
        async with api.client.get("/bug") as response:
            body = await response.json()
            assert response.status == 500
            assert "secret" not in body["message"]
            assert "Traceback" not in body["message"]
        async with api.client.get("/disk") as response:
            assert await response.json() == {"message": "No space left on device: /x"}
    assert "ZeroDivisionError" in caplog.text


async def test_a_stream_that_fails_later_ends_with_an_error_line(serve: Serve) -> None:
    async def late(request: web.Request) -> web.StreamResponse:
        async with JsonLines(request) as out:
            await out.write({"status": "working"})
            raise errors.NotFound("no such thing")
        return out.response

    async def early(request: web.Request) -> web.StreamResponse:
        async with JsonLines(request, lazy=True) as out:
            raise errors.NotFound("no such thing")
        return out.response

    api = await serve([Route("GET", "/late", late), Route("GET", "/early", early)])
    async with api.client.get("/late") as response:
        assert response.status == 200
        assert (await response.text()).splitlines() == [
            '{"status":"working"}',
            '{"errorDetail":{"message":"no such thing"},"error":"no such thing"}',
        ]
    async with api.client.get("/early") as response:
        assert response.status == 404


async def test_stream_headers_leave_before_the_first_line(serve: Serve) -> None:
    go = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse:
        async with JsonLines(request) as out:
            await go.wait()
            await out.write({"StatusCode": 0})
        return out.response

    api = await serve([Route("POST", "/wait", wait)])
    async with api.client.post("/wait") as response:
        assert response.headers["Content-Type"] == "application/json"
        go.set()
        assert await response.json() == {"StatusCode": 0}


async def test_bytes_are_streamed_and_a_late_error_cuts_them(serve: Serve) -> None:
    def good() -> "list[bytes]":
        return [b"x" * 100_000] * 20

    async def whole(request: web.Request) -> web.StreamResponse:
        return await stream_bytes(request, iter(good()), "application/x-tar")

    async def broken(request: web.Request) -> web.StreamResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"x"
            raise errors.DataLoss("digest mismatch")

        return await stream_bytes(request, chunks(), "application/x-tar")

    api = await serve([Route("GET", "/whole", whole), Route("GET", "/broken", broken)])
    async with api.client.get("/whole") as response:
        assert await response.read() == b"x" * 2_000_000
    with pytest.raises(aiohttp.ClientPayloadError):
        async with api.client.get("/broken") as response:
            await response.read()


async def test_bodies_are_files_for_threads(serve: Serve) -> None:
    async def copy(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        source = io.BufferedReader(RequestReader(request), 1 << 16)
        sink = io.BufferedWriter(ResponseWriter(response), 1 << 16)

        def work() -> None:
            with sink:
                shutil.copyfileobj(source, sink)

        await asyncio.to_thread(work)
        await response.write_eof()
        return response

    api = await serve([Route("POST", "/copy", copy)])
    data = os.urandom(3_000_001)
    async with api.client.post("/copy", data=io.BytesIO(data)) as response:
        assert await response.read() == data


async def test_a_handler_is_cancelled_when_its_client_leaves(serve: Serve) -> None:
    entered, cancelled = asyncio.Event(), asyncio.Event()

    async def forever(request: web.Request) -> web.StreamResponse:
        entered.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        raise AssertionError

    api = await serve([Route("GET", "/forever", forever)])
    _, writer = await api.raw()
    writer.write(b"GET /forever HTTP/1.1\r\nHost: docker\r\n\r\n")
    await entered.wait()
    writer.close()
    await asyncio.wait_for(cancelled.wait(), 5)


@pytest.mark.parametrize(
    "head",
    [
        b"Host: %2Fvar%2Frun%2Fdocker.sock\r\n",
        b"Host: \r\n",
        b"Host: /var/run/x.sock\r\nX-Registry-Config: " + b"a" * 100_000 + b"\r\n",
    ],
)
async def test_odd_hosts_and_large_headers(serve: Serve, head: bytes) -> None:
    api = await serve(ROUTES)
    reader, writer = await api.raw()
    query = b"?x=" + b"y" * 60_000
    writer.write(b"GET /v1.30/things/json" + query + b" HTTP/1.1\r\n" + head + b"\r\n")
    assert b" 200 OK" in await reader.readline()
    writer.close()


async def test_expect_continue_and_keep_alive(serve: Serve) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    api = await serve([Route("POST", "/echo", echo)])
    reader, writer = await api.raw()
    for _ in range(2):
        writer.write(
            b"POST /echo HTTP/1.1\r\nHost: d\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert b"100" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"hi")
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"hi"
    writer.close()


async def test_malformed_http_is_a_bad_request(serve: Serve) -> None:
    api = await serve(ROUTES)
    reader, writer = await api.raw()
    writer.write(b"POST \x00 nonsense\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()


async def test_a_client_that_goes_away_is_no_error(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                ended.set()

        return await stream_bytes(request, chunks(), "application/x-tar")

    async def lines(request: web.Request) -> web.StreamResponse:
        async with JsonLines(request) as out:
            while True:
                await out.write({"status": "working"})
        return out.response

    api = await serve([Route("GET", "/bytes", endless), Route("GET", "/lines", lines)])
    for path in ("/bytes", "/lines"):
        async with api.client.get(path) as response:
            await response.content.read(10)
            response.close()
    await asyncio.wait_for(ended.wait(), 10)
    async with api.client.get("/nowhere") as response:
        assert response.status == 404
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
