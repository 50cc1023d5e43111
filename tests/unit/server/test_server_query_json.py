import io

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from msgspec import field
from tests.unit.server.server_serving import Serve

from tiffin.api.codec import Wire
from tiffin.errors import InvalidArgument
from tiffin.server import query
from tiffin.server.json import MAX_BODY, body, json_response
from tiffin.server.routing import Route


def get(text: str) -> web.Request:
    return make_mocked_request("GET", f"/x?{text}")


@pytest.mark.parametrize("text", ["", "v=", "v=0", "v=no", "v=False", "v=none", "v=%20NO%20"])
def test_false(text: str) -> None:
    assert query.flag(get(text), "v") is False


@pytest.mark.parametrize("text", ["v=1", "v=true", "v=yes", "v=x", "v=2"])
def test_true(text: str) -> None:
    assert query.flag(get(text), "v") is True


def test_defaults() -> None:
    assert query.flag(get(""), "v", True) is True
    assert query.flag(get("v=0"), "v", True) is False
    assert query.integer(get(""), "t") is None
    assert query.integer(get("t="), "t", 5) == 5
    assert query.integer(get("t=-1"), "t") == -1


@pytest.mark.parametrize("text", ["x", "1.5", "1e3", "٣", "99999999999999999999", "1_0", "0x1"])
def test_malformed_integers(text: str) -> None:
    with pytest.raises(InvalidArgument):
        query.integer(get(f"t={text}"), "t")


class Thing(Wire):
    name: str = field(name="Name", default="")
    count: int = field(name="Count", default=0)


async def echo(request: web.Request) -> web.Response:
    return json_response(await body(request, Thing), 201)


ROUTES = [Route("POST", "/echo", echo)]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", {"Name": "", "Count": 0}),
        (b"{}", {"Name": "", "Count": 0}),
        (b'{"name":"x","COUNT":3,"extra":[1]}', {"Name": "x", "Count": 3}),
        (b'{"Name":null}', {"Name": "", "Count": 0}),
    ],
)
async def test_bodies_as_go_reads_them(serve: Serve, sent: bytes, answer: object) -> None:
    api = await serve(ROUTES)
    headers = {"Content-Type": "application/json; charset=utf-8"} if sent else {}
    async with api.client.post("/echo", data=sent, headers=headers) as response:
        assert (response.status, await response.json()) == (201, answer)


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b'{"Count":"x"}', "application/json"),
        (b"\xff", "application/json"),
        (b"{}", "text/plain"),
        (b"[" * 100_000, "application/json"),
    ],
)
async def test_bad_bodies_are_bad_requests(serve: Serve, sent: bytes, kind: str) -> None:
    api = await serve(ROUTES)
    async with api.client.post("/echo", data=sent, headers={"Content-Type": kind}) as response:
        assert response.status == 400
        assert (await response.json())["message"]


async def test_bodies_are_limited(serve: Serve) -> None:
    api = await serve(ROUTES)
    headers = {"Content-Type": "application/json"}
    async with api.client.post(
        "/echo", data=io.BytesIO(b" " * (MAX_BODY + 1)), headers=headers
    ) as response:
        assert response.status == 400
        assert "larger than" in (await response.json())["message"]
