"""Lists: tags (end-8), referrers (end-12) and the catalogue; and the base (end-1)."""

import json
from collections.abc import AsyncIterator
from urllib.parse import quote, urlencode

from aiohttp import web

from tiffin.distribution.access.gate import Action
from tiffin.distribution.catalog import Catalog
from tiffin.distribution.contents import Contents
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.http.call import Call
from tiffin.distribution.names import digest_in
from tiffin.spec.descriptor import OCI_INDEX

PAGE = 1000
"""Entries of a page, if the client does not say how many it wants."""
MOST = 10_000
_REFERRERS_PAGE = 500


class DiscoveryEndpoints:
    """Handlers."""

    def __init__(self, contents: Contents, catalog: Catalog) -> None:
        self._contents = contents
        self._catalog = catalog

    async def base(self, call: Call) -> web.Response:
        """GET of `/v2/`: this is a registry."""
        del call
        return web.json_response({})

    async def catalog(self, call: Call) -> web.Response:
        """GET of the names of the repositories that the client may pull from."""
        limit, last = _page(call.request, MOST)
        names = await self._catalog.names()
        names = [n for n in names if n > last and call.visit.may(n, Action.PULL)]
        return _listing("/v2/_catalog", {}, "repositories", names, limit)

    async def tags(self, call: Call) -> web.Response:
        """GET of the tags of a repository."""
        limit, last = _page(call.request, MOST)
        found = await self._contents.tags(call.repository, after=last)
        tags = await _take(found, limit + 1)
        path = f"/v2/{call.repository}/tags/list"
        return _listing(path, {"name": call.repository}, "tags", tags, limit)

    async def referrers(self, call: Call) -> web.Response:
        """GET of what refers to a manifest."""
        subject = digest_in(call.target.rest)
        after = digest_in(call.request.query["last"]) if "last" in call.request.query else None
        wanted = call.request.query.get("artifactType")
        found: list[dict[str, object]] = []
        headers: dict[str, str] = {}
        descriptors = await self._contents.referrers(call.repository, subject, after=after)
        async for descriptor in descriptors:
            if wanted and descriptor.artifact_type != wanted:
                continue
            if len(found) == _REFERRERS_PAGE:
                query = {"last": found[-1]["digest"]} | ({"artifactType": wanted} if wanted else {})
                path = f"/v2/{call.repository}/referrers/{subject}?{urlencode(query)}"
                headers["Link"] = f'<{path}>; rel="next"'
                break
            found.append(descriptor.to_json())
        if wanted:
            headers["OCI-Filters-Applied"] = "artifactType"
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": found}
        return web.Response(
            body=json.dumps(index).encode(), content_type=OCI_INDEX, headers=headers
        )


async def _take(items: AsyncIterator[str], limit: int) -> list[str]:
    found: list[str] = []
    if limit > 1:
        async for item in items:
            found.append(item)
            if len(found) == limit:
                break
    return found


def _page(request: web.Request, most: int) -> tuple[int, str]:
    """Return how many entries are wanted, and after which."""
    text = request.query.get("n")
    if text is None:
        return PAGE, request.query.get("last", "")
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        message = "the number of results must be a whole number"
        raise DistributionError(Code.UNSUPPORTED, message, status=400, detail={"n": text[:100]})
    return min(int(text), most), request.query.get("last", "")


def _listing(
    path: str,
    base: dict[str, object],
    member: str,
    entries: list[str],
    limit: int,
) -> web.Response:
    shown = entries[:limit]
    headers = {}
    if shown and len(entries) > limit:
        headers["Link"] = f'<{path}?n={limit}&last={quote(shown[-1], safe="")}>; rel="next"'
    return web.json_response(base | {member: shown}, headers=headers)
