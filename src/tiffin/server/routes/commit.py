"""Route of commit."""

from typing import Protocol

from aiohttp import web

from tiffin.api import codec
from tiffin.api.types.build import IdResponse
from tiffin.api.types.containers import Config
from tiffin.engine.commit import CommitRequest
from tiffin.errors import InvalidArgument
from tiffin.server.json import json_response, raw_body
from tiffin.server.query import flag
from tiffin.server.routing import Route
from tiffin.spec.digest import Digest
from tiffin.spec.reference import Reference, parse_reference, parse_tag


class Commits(Protocol):
    """What the route needs of the engine."""

    async def commit(self, request: CommitRequest) -> Digest:
        """Make an image of a container and return its ID."""


def routes(commits: Commits) -> list[Route]:
    """Return the routes."""

    async def commit(request: web.Request) -> web.Response:
        data = await raw_body(request)
        query = request.query
        wanted = CommitRequest(
            container=query.get("container", ""),
            name=_name(query.get("repo", ""), query.get("tag", "")),
            comment=query.get("comment", ""),
            author=query.get("author", ""),
            pause=flag(request, "pause", default=True),
            changes=tuple(query.getall("changes", [])),
            config=codec.decode(data, Config) if data.strip() not in (b"", b"null") else None,
        )
        return json_response(IdResponse(id=await commits.commit(wanted)), status=201)

    return [Route("POST", "/commit", commit)]


def _name(repository: str, tag: str) -> Reference | None:
    if not repository:
        return None
    reference = parse_reference(repository)
    if reference.digest:
        raise InvalidArgument("cannot import digest reference")
    if tag:
        reference = reference.with_tag(parse_tag(tag))
    return reference.with_default_tag()
