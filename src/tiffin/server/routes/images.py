"""Routes of images."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from aiohttp import web

from tiffin.api import codec
from tiffin.api.filters import Filters
from tiffin.api.types.images import (
    DeleteItem,
    HistoryItem,
    ImageInspect,
    ImageSummary,
    PruneReport,
    VerifyProblem,
)
from tiffin.engine.images.archives import ImportRequest
from tiffin.engine.images.context import Progress
from tiffin.engine.images.listing import ListOptions
from tiffin.engine.images.render import downgrade
from tiffin.errors import InvalidArgument
from tiffin.images.image import Image
from tiffin.images.load import Loaded
from tiffin.layers.compression import Source
from tiffin.registry.credentials import ANONYMOUS, Credentials, decode_auth
from tiffin.server.json import json_response
from tiffin.server.preview import wanted_preview
from tiffin.server.query import filters, flag, integer
from tiffin.server.routes.progress import Emit, progress_stream
from tiffin.server.routing import Route
from tiffin.server.stream import RequestReader, stream_bytes
from tiffin.server.version import request_version
from tiffin.spec.descriptor import platform_from_json
from tiffin.spec.digest import parse_digest
from tiffin.spec.platform import Platform, parse_platform
from tiffin.spec.reference import Reference, parse_reference
from tiffin.wire.jsonmessage import JsonMessage


class Images(Protocol):
    """What the routes need of the engine."""

    async def list(self, options: ListOptions | None = None) -> Sequence[ImageSummary]:
        """List images."""

    async def inspect(
        self, ref: str, *, manifests: bool = False, platform: Platform | None = None
    ) -> tuple[ImageInspect, Image]:
        """Describe one."""

    async def history(self, ref: str, platform: Platform | None = None) -> Sequence[HistoryItem]:
        """Return how one was made."""

    async def check_platform(self, ref: str, platform: Platform | None) -> None:
        """Refuse one for another platform."""

    async def tag(self, ref: str, target: Reference) -> None:
        """Name one."""

    async def remove(
        self, ref: str, *, force: bool = False, prune: bool = True,
        platforms: Sequence[Platform] = (),
    ) -> Sequence[DeleteItem]:  # fmt: skip
        """Remove one, a name of it, or what it has for some platforms."""

    async def preview_prune(self, filters: Filters, gone: Collection[str]) -> PruneReport:
        """Tell which would be removed."""

    async def prune(self, filters: Filters) -> PruneReport:
        """Remove unused ones."""

    async def pull(
        self, reference: Reference, *, platform: Platform | None = None,
        all_platforms: bool = False, credentials: Credentials = ANONYMOUS, emit: Progress = ...,
    ) -> Image:  # fmt: skip
        """Pull one."""

    async def pull_all(
        self, repository: Reference, *, platform: Platform | None = None,
        all_platforms: bool = False, credentials: Credentials = ANONYMOUS, emit: Progress = ...,
    ) -> None:  # fmt: skip
        """Pull all tags."""

    async def push(
        self, reference: Reference, *, credentials: Credentials = ANONYMOUS, emit: Progress = ...,
        platform: Platform | None = None,
    ) -> None:  # fmt: skip
        """Push one or all tags."""

    async def verify(
        self, refs: Sequence[str], *, repair: bool = False, credentials: Credentials = ANONYMOUS,
        emit: Progress,
    ) -> Sequence[VerifyProblem]:  # fmt: skip
        """Compare bytes with digests."""

    async def load(
        self, stream: Source, *, emit: Progress = ..., quiet: bool = False,
        platform: Platform | None = None,
    ) -> Sequence[Loaded]:  # fmt: skip
        """Load an archive."""

    async def save(
        self, names: Sequence[str], platforms: Sequence[Platform] = ()
    ) -> Iterator[bytes]:
        """Save to an archive."""

    async def import_(self, stream: Source, request: ImportRequest, emit: Progress = ...) -> Image:
        """Import a root filesystem."""

    async def import_url(self, url: str, request: ImportRequest, emit: Progress = ...) -> Image:
        """Import a root filesystem from elsewhere."""

    async def search(
        self, term: str, limit: int, filters: Filters, credentials: Credentials = ANONYMOUS
    ) -> Sequence[Mapping[str, Any]]:
        """Search an index."""


def routes(images: Images) -> list[Route]:
    """Return the routes."""
    return [*_reading(images), *_changing(images), *_moving(images)]


def _reading(images: Images) -> list[Route]:
    async def list_(request: web.Request) -> web.Response:
        version = request_version(request)
        options = ListOptions(
            all=flag(request, "all"),
            filters=_list_filters(request, version),
            shared_size=version >= (1, 42) and flag(request, "shared-size"),
            manifests=version >= (1, 47) and flag(request, "manifests"),
        )
        found = await images.list(options)
        return json_response([_downgraded(summary, version) for summary in found])

    async def inspect(request: web.Request) -> web.Response:
        version = request_version(request)
        manifests = version >= (1, 48) and flag(request, "manifests")
        platform = _platform_object(request) if version >= (1, 49) else None
        if manifests and platform:
            raise InvalidArgument("conflicting options: manifests and platform options are set")
        name = request.match_info["name"]
        found, image = await images.inspect(name, manifests=manifests, platform=platform)
        return json_response(downgrade(found, image, version))

    async def history(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return json_response(list(await images.history(name, _platform_object(request))))

    async def search(request: web.Request) -> web.Response:
        term = request.query.get("term", "")
        if not term:
            raise InvalidArgument("search term cannot be empty")
        limit = integer(request, "limit", 0)
        found = await images.search(term, limit, filters(request), _credentials(request))
        return json_response(list(found))

    return [
        Route("GET", "/images/json", list_),
        Route("GET", "/images/search", search),
        Route("GET", "/images/{name:.+}/json", inspect),
        Route("GET", "/images/{name:.+}/history", history),
    ]


def _changing(images: Images) -> list[Route]:
    async def tag(request: web.Request) -> web.Response:
        target = _target(request.query.get("repo", ""), request.query.get("tag", ""))
        if target is None:
            raise InvalidArgument("invalid reference format")
        await images.tag(request.match_info["name"], target)
        return web.Response(status=201)

    async def remove(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not name.strip():
            raise InvalidArgument("image name cannot be blank")
        platforms = [_platform(text) for text in request.query.getall("platforms", [])]
        removed = await images.remove(
            name, force=flag(request, "force"), prune=not flag(request, "noprune"),
            platforms=platforms,
        )  # fmt: skip
        return json_response(list(removed))

    async def prune(request: web.Request) -> web.Response:
        gone = await wanted_preview(request)
        if gone is not None:
            return json_response(await images.preview_prune(filters(request), gone))
        return json_response(await images.prune(filters(request)))

    return [
        Route("POST", "/images/prune", prune),
        Route("POST", "/images/{name:.+}/tag", tag),
        Route("DELETE", "/images/{name:.+}", remove),
    ]


def _moving(images: Images) -> list[Route]:
    async def create(request: web.Request) -> web.StreamResponse:
        if request.query.get("fromImage"):
            return await _pull(images, request)
        return await _import(images, request, _platform_words(request))

    async def push(request: web.Request) -> web.StreamResponse:
        return await _push(images, request)

    async def load(request: web.Request) -> web.StreamResponse:
        quiet = flag(request, "quiet")
        platform = _platform_object(request)
        stream = RequestReader(request)
        return await progress_stream(
            request,
            lambda emit: images.load(_Plain(stream), emit=emit, quiet=quiet, platform=platform),
            always_ok=True,
        )

    async def save(request: web.Request) -> web.StreamResponse:
        name = request.match_info.get("name")
        names = [name] if name else request.query.getall("names", [])
        if not names:
            raise InvalidArgument("no image names given: set the query parameter 'names'")
        platforms = [_platform(text) for text in request.query.getall("platform", []) if text]
        chunks = await images.save(names, platforms)
        return await stream_bytes(request, chunks, "application/x-tar")

    async def verify(request: web.Request) -> web.StreamResponse:
        async def work(emit: Emit) -> None:
            problems = await images.verify(
                request.query.getall("name", []), repair=flag(request, "repair"),
                credentials=_credentials(request), emit=emit,
            )  # fmt: skip
            emit(JsonMessage(aux={"Problems": [codec.to_builtins(each) for each in problems]}))

        return await progress_stream(request, work)

    return [
        Route("POST", "/images/verify", verify),
        Route("POST", "/images/create", create),
        Route("POST", "/images/load", load),
        Route("GET", "/images/get", save),
        Route("GET", "/images/{name:.+}/get", save),
        Route("POST", "/images/{name:.+}/push", push),
    ]


async def _pull(images: Images, request: web.Request) -> web.StreamResponse:
    # An extension: Docker knows no such platform.
    everything = request.query.get("platform") == "all"
    platform = None if everything else _platform_words(request)
    # `docker pull -a` of old sent the name with a colon at its end.
    reference = parse_reference(request.query["fromImage"].strip().removesuffix(":"))
    if tag := request.query.get("tag", ""):
        if ":" in tag:
            reference = reference.with_digest(parse_digest(tag))
        elif not reference.digest:
            reference = reference.with_tag(tag)
    credentials = _credentials(request)

    async def work(emit: Emit) -> None:
        pull = images.pull_all if reference.is_bare else images.pull
        await pull(
            reference, platform=platform, all_platforms=everything, credentials=credentials,
            emit=emit,
        )  # fmt: skip

    return await progress_stream(request, work)


async def _push(images: Images, request: web.Request) -> web.StreamResponse:
    reference = parse_reference(request.match_info["name"])
    if reference.digest:
        raise InvalidArgument("cannot push a digest reference")
    platform = _platform_object(request)
    reference = reference.bare()
    if tag := request.query.get("tag"):
        reference = reference.with_tag(tag)
        if platform is not None:
            await images.check_platform(str(reference), platform)
    credentials = _credentials(request)

    async def work(emit: Emit) -> None:
        await images.push(reference, credentials=credentials, emit=emit, platform=platform)

    return await progress_stream(request, work)


async def _import(
    images: Images, request: web.Request, platform: Platform | None
) -> web.StreamResponse:
    source = request.query.get("fromSrc", "")
    if not source:
        raise InvalidArgument("neither fromImage nor fromSrc is given")
    wanted = ImportRequest(
        name=_target(request.query.get("repo", ""), request.query.get("tag", "")),
        message=request.query.get("message", ""),
        changes=request.query.getall("changes", []),
        platform=platform,
        source=source,
    )
    if source == "-":
        stream = _Plain(RequestReader(request))
        return await progress_stream(request, lambda emit: images.import_(stream, wanted, emit))
    return await progress_stream(request, lambda emit: images.import_url(source, wanted, emit))


class _Plain:
    """A raw reader whose reads are bytes, as readers of archives want it."""

    def __init__(self, reader: RequestReader) -> None:
        self._reader = reader

    def read(self, size: int, /) -> bytes:
        """Return some bytes, b"" at the end."""
        return self._reader.read(size) or b""


def _target(repository: str, tag: str) -> Reference | None:
    """Return the name that a tag or import asks for, None if there is none."""
    if not repository:
        return None
    reference = parse_reference(repository)
    if reference.digest:
        raise InvalidArgument("cannot import digest reference")
    return (reference.with_tag(tag) if tag else reference).with_default_tag()


def _list_filters(request: web.Request, version: tuple[int, int]) -> Filters:
    found = filters(request)
    legacy = request.query.get("filter", "")
    if not legacy or version >= (1, 41):
        return found
    values = {key: found.get(key) for key in found.keys()}  # noqa: SIM118  # not a mapping
    return Filters({**values, "reference": [*values.get("reference", []), legacy]})


def _downgraded(summary: ImageSummary, version: tuple[int, int]) -> ImageSummary:
    if version < (1, 48):
        summary.descriptor = None
    if version < (1, 44):
        summary.virtual_size = summary.size
    if version < (1, 43) and not summary.repo_tags and not summary.repo_digests:
        summary.repo_tags = ["<none>:<none>"]
        summary.repo_digests = ["<none>@<none>"]
    return summary


def _credentials(request: web.Request) -> Credentials:
    try:
        return decode_auth(request.headers.get("X-Registry-Auth", ""))
    except InvalidArgument:
        # Docker ignores what it cannot read here, and clients rely on it: the registry will
        # say whether credentials are needed.
        return ANONYMOUS


def _platform_words(request: web.Request) -> Platform | None:
    text = request.query.get("platform", "")
    return parse_platform(text) if text else None


def _platform_object(request: web.Request) -> Platform | None:
    text = request.query.get("platform", "")
    return _platform(text) if text else None


def _platform(text: str) -> Platform:
    """Parse a platform given as an OCI object."""
    try:
        platform = platform_from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"failed to parse platform {text!r}: {error}") from error
    if not platform.os and platform.architecture:
        platform = replace(platform, os="linux")
    if not platform.os or not platform.architecture:
        raise InvalidArgument("both OS and Architecture must be provided")
    return parse_platform(str(platform))
