"""Sending the bytes of blobs: by sendfile(2) from a file, in blocks from anywhere else."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import cast

from aiohttp import web
from aiohttp.http_writer import StreamWriter

from tiffin.distribution.contents import Readable
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.http.conditions import is_unmodified, wants_range
from tiffin.distribution.ranges import ByteRange, Unsatisfiable, parse_range
from tiffin.errors import NotFound
from tiffin.spec.digest import Digest

# One call sends until the socket is full. A fast reader never lets it be full, and everybody else
# would have to wait.
_TURN = 4 << 20
_BLOCK = 256 << 10


async def send_blob(request: web.Request, digest: Digest, blob: Readable) -> web.StreamResponse:
    """Answer GET and HEAD of a blob: whole, a range, or 304; BLOB_UNKNOWN if it has just gone."""
    headers = {
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": "max-age=31536000",
    }
    if is_unmodified(request, digest):
        return web.Response(status=304, headers=headers)
    part: ByteRange | None = None
    if wants_range(request, digest):
        try:
            part = parse_range(request.headers["Range"], blob.size)
        except Unsatisfiable:
            headers["Content-Range"] = f"bytes */{blob.size}"
            return web.Response(status=416, headers=headers)
    status = 200
    if part is not None:
        status, headers["Content-Range"] = 206, part.of(blob.size)
    first, length = (part.first, part.length) if part else (0, blob.size)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_type = "application/octet-stream"
    response.content_length = length
    if request.method == "HEAD" or not length:
        await response.prepare(request)
        await response.write_eof()
        return response
    try:
        if blob.path is not None and request.get_extra_info("sslcontext") is None:
            await _send_file(request, response, blob.path, first, length)
        else:
            async with aclosing(cast("_Closing", blob.read(first, length))) as chunks:
                await _send_chunks(request, response, chunks)
    except (FileNotFoundError, NotFound) as error:
        raise DistributionError(Code.BLOB_UNKNOWN, detail={"digest": digest}) from error
    return response


async def _send_file(
    request: web.Request, response: web.StreamResponse, path: Path, first: int, length: int
) -> None:
    loop = asyncio.get_running_loop()
    end = first + length
    with open(path, "rb", buffering=0) as file:
        writer = await response.prepare(request)
        cast("StreamWriter", writer).send_headers()
        first += _send_now(request.transport, file.fileno(), first, min(_TURN, length))
        while first < end:
            transport = request.transport
            if transport is None or transport.is_closing():
                raise ConnectionResetError("the client is gone")
            first += await loop.sendfile(transport, file, first, min(_TURN, end - first))
    await response.write_eof()


def _send_now(transport: asyncio.Transport | None, file: int, first: int, length: int) -> int:
    """Send what the socket takes at once, which may be all; return how much.

    It saves small blobs the event loop's way of preparing a connection for sendfile.
    """
    if transport is None or transport.is_closing() or transport.get_write_buffer_size():
        return 0
    try:
        return os.sendfile(transport.get_extra_info("socket").fileno(), file, first, length)
    except BlockingIOError:
        return 0


async def _send_chunks(
    request: web.Request, response: web.StreamResponse, chunks: AsyncIterator[bytes]
) -> None:
    # The first chunk is awaited before the headers: until then an error can still be told.
    chunk = await anext(chunks, b"")
    await response.prepare(request)
    await response.write(chunk)
    async for chunk in chunks:
        await response.write(chunk)
    await response.write_eof()


class _Closing(AsyncIterator[bytes]):
    async def aclose(self) -> None: ...
