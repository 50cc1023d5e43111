"""Blobs and their uploads: end-2, end-4 to end-6, end-10, end-11, end-13, end-14."""

from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from tiffin.distribution.access.gate import Action, Visit
from tiffin.distribution.blobs import Blobs
from tiffin.distribution.contents import Contents
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.http.call import Call
from tiffin.distribution.http.sending import send_blob
from tiffin.distribution.names import digest_in, parse_name
from tiffin.distribution.ranges import ByteRange, Malformed, parse_content_range
from tiffin.distribution.uploads import Uploads
from tiffin.spec.digest import Digest


class BlobEndpoints:
    """Handlers; `Visit` says who asks."""

    def __init__(self, contents: Contents, blobs: Blobs, uploads: Uploads) -> None:
        self._contents = contents
        self._blobs = blobs
        self._uploads = uploads

    async def read(self, call: Call) -> web.StreamResponse:
        """GET and HEAD of a blob."""
        digest = digest_in(call.target.rest)
        # Pushing clients ask by HEAD and do not send what is there: it must then stay there.
        is_head = call.request.method == "HEAD"
        for_push = is_head and call.visit.may(call.repository, Action.PUSH)
        blob = await self._contents.blob(
            call.repository, digest, with_data=not is_head, for_push=for_push
        )
        return await send_blob(call.request, digest, blob)

    async def delete(self, call: Call) -> web.Response:
        """DELETE of a blob."""
        await self._blobs.unlink(call.repository, digest_in(call.target.rest))
        return web.Response(status=202)

    async def begin(self, call: Call) -> web.Response:
        """POST: begin an upload, send a blob at once, or mount one."""
        query = call.request.query
        if "mount" in query and await self._mount(call.request, call.repository, call.visit):
            return _created(call.repository, digest_in(query["mount"]))
        algorithm = query.get("digest-algorithm", "sha256")
        digest = digest_in(query["digest"]) if "digest" in query else None
        identifier = await self._uploads.begin(call.repository, algorithm)
        if digest is None:
            return _accepted(call.repository, identifier, 0, algorithm)
        try:
            await self._uploads.finish(call.repository, identifier, digest, _body(call.request))
        except BaseException:
            # Nobody was told of this session, so that nobody can resume it.
            await self._cancel_quietly(call.repository, identifier)
            raise
        return _created(call.repository, digest)

    async def append(self, call: Call) -> web.Response:
        """PATCH: one more chunk."""
        place = _place(call.request)
        algorithm = call.request.query.get("digest-algorithm", "sha256")
        offset = await self._uploads.append(
            call.repository, call.target.rest, _body(call.request), place, algorithm
        )
        return _accepted(call.repository, call.target.rest, offset, algorithm)

    async def finish(self, call: Call) -> web.Response:
        """PUT: the last chunk, if any, and the digest."""
        if "digest" not in call.request.query:
            raise DistributionError(Code.DIGEST_INVALID, "the digest is missing")
        digest = digest_in(call.request.query["digest"])
        place = _place(call.request)
        await self._uploads.finish(
            call.repository, call.target.rest, digest, _body(call.request), place
        )
        return _created(call.repository, digest)

    async def status(self, call: Call) -> web.Response:
        """GET of an upload: how far it is."""
        offset = await self._uploads.offset(call.repository, call.target.rest)
        algorithm = call.request.query.get("digest-algorithm", "sha256")
        return _accepted(call.repository, call.target.rest, offset, algorithm, status=204)

    async def cancel(self, call: Call) -> web.Response:
        """DELETE of an upload."""
        await self._uploads.cancel(call.repository, call.target.rest)
        return web.Response(status=204)

    async def _mount(self, request: web.Request, name: str, visit: Visit) -> bool:
        digest = digest_in(request.query["mount"])
        sources: Sequence[str]
        if source := request.query.get("from", ""):
            sources = [parse_name(source)]
        else:
            sources = await self._blobs.holders(digest)
        for source in sources:
            if visit.may(source, Action.PULL) and await self._blobs.mount(
                digest=digest, repository=name, source=source
            ):
                return True
        return False

    async def _cancel_quietly(self, name: str, identifier: str) -> None:
        try:
            await self._uploads.cancel(name, identifier)
        except DistributionError:
            pass  # gone already, which is what is wanted


def _body(request: web.Request) -> AsyncIterator[bytes]:
    return request.content.iter_any()


def _place(request: web.Request) -> ByteRange | None:
    header = request.headers.get("Content-Range")
    if header is None:
        return None
    try:
        return parse_content_range(header)
    except Malformed as error:
        raise DistributionError(Code.BLOB_UPLOAD_INVALID, str(error), status=416) from error


def _accepted(
    name: str, identifier: str, offset: int, algorithm: str, status: int = 202
) -> web.Response:
    location = f"/v2/{name}/blobs/uploads/{identifier}"
    if algorithm != "sha256":
        location += f"?digest-algorithm={algorithm}"
    headers = {
        "Location": location,
        "Range": f"0-{max(offset - 1, 0)}",
        "Docker-Upload-UUID": identifier,
    }
    return web.Response(status=status, headers=headers)


def _created(name: str, digest: Digest) -> web.Response:
    headers = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
    return web.Response(status=201, headers=headers)
