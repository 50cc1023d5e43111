"""JSON request bodies and responses."""

from typing import TypeVar

from aiohttp import web

from tiffin.api import codec
from tiffin.errors import InvalidArgument

T = TypeVar("T")

MAX_BODY = 16 << 20
"""Bytes of a JSON body; container configurations stay far below."""


async def body(request: web.Request, kind: type[T]) -> T:
    """Read and decode the body; an empty one counts as `{}`, as Docker has it.

    InvalidArgument for another content type, for a body over `MAX_BODY` and for what does not fit.
    """
    data = await raw_body(request)
    return codec.decode(data or b"{}", kind)


async def raw_body(request: web.Request) -> bytes:
    """Read a JSON body without decoding it; `b""` if there is none. Raises as `body` does."""
    if not request.body_exists:
        return b""
    if request.content_length == 0:
        return b""
    kind = _media_type(request)
    if kind and kind != "application/json":
        raise InvalidArgument(
            f"unsupported Content-Type header ({kind}): must be 'application/json'"
        )
    if (request.content_length or 0) > MAX_BODY:
        raise InvalidArgument(f"request body is larger than {MAX_BODY} bytes")
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > MAX_BODY:
            raise InvalidArgument(f"request body is larger than {MAX_BODY} bytes")
    if data and not kind:
        raise InvalidArgument("unsupported Content-Type header (): must be 'application/json'")
    return bytes(data)


def _media_type(request: web.Request) -> str:
    # aiohttp's own parser loads one for mails, a megabyte of it.
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def json_response(value: object, status: int = 200) -> web.Response:
    """Render a wire type, or a container of them."""
    return web.Response(
        body=codec.encode(value) + b"\n", status=status, content_type="application/json"
    )
