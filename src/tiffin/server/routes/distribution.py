"""Routes that ask a registry about an image or about credentials."""

from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from tiffin.api.types.images import AuthRequest, AuthResponse, DistributionInspect
from tiffin.errors import InvalidArgument
from tiffin.registry.credentials import ANONYMOUS, Credentials, decode_auth
from tiffin.server.json import body, json_response
from tiffin.server.query import flag
from tiffin.server.routing import Route
from tiffin.spec.digest import Digest, parse_digest
from tiffin.spec.reference import Reference, parse_reference

if TYPE_CHECKING:
    from tiffin.registry.client import RemoteManifest  # an idle daemon does without

MAX_DOCUMENT = 4 << 20
"""Bytes of a manifest, the limit that the distribution spec names."""


class Documents(Protocol):
    """Single documents of a registry."""

    async def get(self, reference: Reference) -> "RemoteManifest":
        """Read a manifest."""

    async def put(self, reference: Reference, media_type: str, data: bytes) -> Digest:
        """Write one."""

    async def mount(self, repository: Reference, digest: Digest, source: Reference) -> None:
        """Bring a blob from another repository."""


class Images(Protocol):
    """What the routes need of the engine."""

    async def distribution(
        self, ref: str, credentials: Credentials = ANONYMOUS, *, insecure: bool = False
    ) -> DistributionInspect:
        """Ask a registry what it has."""

    async def login(self, request: AuthRequest) -> AuthResponse:
        """Check credentials."""

    def documents(self, credentials: Credentials, *, insecure: bool) -> Documents:
        """Give access to single documents."""


def routes(images: Images) -> list[Route]:
    """Return the routes; those of single documents are ours alone."""

    async def inspect(request: web.Request) -> web.Response:
        found = await images.distribution(
            request.match_info["name"], _credentials(request), insecure=flag(request, "insecure")
        )
        return json_response(found)

    async def login(request: web.Request) -> web.Response:
        return json_response(await images.login(await body(request, AuthRequest)))

    return [
        Route("GET", "/distribution/{name:.+}/json", inspect, since="1.30"),
        *_documents(images),
        Route("POST", "/auth", login),
    ]


def _documents(images: Images) -> list[Route]:
    def documents(request: web.Request) -> Documents:
        return images.documents(_credentials(request), insecure=flag(request, "insecure"))

    async def get(request: web.Request) -> web.Response:
        found = await documents(request).get(_reference(request).with_default_tag())
        headers = {"Content-Type": found.descriptor.media_type or "application/octet-stream",
                   "Docker-Content-Digest": found.digest}  # fmt: skip
        return web.Response(body=found.data, headers=headers)

    async def put(request: web.Request) -> web.Response:
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip()
        data = await request.content.read(MAX_DOCUMENT + 1)
        while more := await request.content.read(MAX_DOCUMENT + 1):
            data += more
            if len(data) > MAX_DOCUMENT:
                raise InvalidArgument(f"the manifest is larger than {MAX_DOCUMENT} bytes")
        reference = _reference(request).with_default_tag()
        digest = await documents(request).put(reference, media_type, data)
        return json_response({"Digest": digest}, status=201)

    async def mount(request: web.Request) -> web.Response:
        digest = parse_digest(request.query.get("digest", ""))
        source = parse_reference(request.query.get("from", ""))
        await documents(request).mount(_reference(request), digest, source)
        return web.Response(status=201)

    return [
        Route("GET", "/distribution/{name:.+}/manifest", get),
        Route("PUT", "/distribution/{name:.+}/manifest", put),
        Route("POST", "/distribution/{name:.+}/mount", mount),
    ]


def _credentials(request: web.Request) -> Credentials:
    return decode_auth(request.headers.get("X-Registry-Auth", ""))


def _reference(request: web.Request) -> Reference:
    return parse_reference(request.match_info["name"])
