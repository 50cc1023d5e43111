"""Manifests: end-3, end-7, end-9."""

from aiohttp import web

from tiffin.distribution.contents import Contents
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.http.call import Call
from tiffin.distribution.http.conditions import is_unmodified, push_condition
from tiffin.distribution.manifests import Manifests
from tiffin.distribution.names import is_tag, parse_reference

STALE = '299 - "the upstream registry does not answer: this manifest may be out of date"'


class ManifestEndpoints:
    """Handlers; a manifest may be `limit` bytes long."""

    def __init__(self, contents: Contents, manifests: Manifests, *, limit: int) -> None:
        self._contents = contents
        self._manifests = manifests
        self._limit = limit

    async def read(self, call: Call) -> web.Response:
        """GET and HEAD of a manifest."""
        reference = parse_reference(call.target.rest)
        with_data = call.request.method == "GET"
        found = await self._contents.manifest(call.repository, reference, with_data=with_data)
        headers = {
            "Docker-Content-Digest": found.info.digest,
            "ETag": f'"{found.info.digest}"',
            "Content-Type": found.info.media_type,
        }
        if found.stale:
            headers["Warning"] = STALE
        if is_unmodified(call.request, found.info.digest):
            return web.Response(status=304, headers=headers)
        headers["Content-Length"] = str(found.info.size)
        return web.Response(body=found.data, headers=headers)

    async def write(self, call: Call) -> web.Response:
        """PUT of a manifest under a tag or digest."""
        reference = parse_reference(call.target.rest)
        tags = call.request.query.getall("tag", [])
        for tag in tags:
            if not is_tag(tag):
                raise DistributionError(Code.MANIFEST_INVALID, f"invalid tag {tag[:200]!r}")
        data = await self._read_limited(call.request)
        digest, document = await self._manifests.put(
            call.repository,
            reference,
            call.request.headers.get("Content-Type", ""),
            data,
            tags=tags,
            condition=push_condition(call.request),
        )
        headers = {
            "Location": f"/v2/{call.repository}/manifests/{digest}",
            "Docker-Content-Digest": digest,
        }
        if document.subject is not None:
            headers["OCI-Subject"] = document.subject
        if tags:
            headers["OCI-Tag"] = ", ".join(tags)
        return web.Response(status=201, headers=headers)

    async def delete(self, call: Call) -> web.Response:
        """DELETE of a tag or a manifest."""
        reference = parse_reference(call.target.rest)
        if reference.digest is None:
            await self._manifests.untag(call.repository, reference.tag)
        else:
            await self._manifests.delete(call.repository, reference.digest)
        return web.Response(status=202)

    async def _read_limited(self, request: web.Request) -> bytes:
        data = bytearray()
        if (request.content_length or 0) <= self._limit:
            async for chunk in request.content.iter_any():
                data += chunk
                if len(data) > self._limit:
                    break
            else:
                return bytes(data)
        message = f"the manifest is larger than {self._limit} bytes"
        raise DistributionError(Code.SIZE_INVALID, message, status=413)
