"""Routes of the builder."""

import io
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import msgspec
from aiohttp import web

from tiffin.api import codec
from tiffin.api.types.build import PruneReport, UlimitRequest
from tiffin.build.executor import RunLimits
from tiffin.engine.build.request import BuildRequest, PruneRequest
from tiffin.errors import InvalidArgument, Unimplemented
from tiffin.layers.compression import Source
from tiffin.registry.credentials import decode_auths
from tiffin.server.json import json_response
from tiffin.server.query import filters, flag, integer
from tiffin.server.routing import Route
from tiffin.server.stream import JsonLines, RequestReader
from tiffin.spec.reference import Reference, parse_reference

SMALLEST_MEMORY = 6 << 20
READ_AHEAD = 1 << 20


class Builds(Protocol):
    """What the routes need of the builder."""

    def build(
        self, request: BuildRequest, body: Source
    ) -> AsyncGenerator[list[Mapping[str, Any]], None]:
        """Build an image; yields batches of output lines."""

    def cancel(self, identity: str) -> None:
        """Cancel a build."""

    async def prune(self, request: PruneRequest) -> PruneReport:
        """Remove cached results."""


def routes(builds: Builds) -> list[Route]:
    """Return the routes."""

    async def build(request: web.Request) -> web.StreamResponse:
        wanted = parse_request(request)
        body = io.BufferedReader(RequestReader(request), READ_AHEAD)
        async with JsonLines(request, lazy=True) as out:
            async with aclosing(builds.build(wanted, body)) as batches:
                async for batch in batches:
                    await out.write_raw(b"".join(codec.encode(line) + b"\n" for line in batch))
        return out.response

    async def cancel(request: web.Request) -> web.Response:
        identity = request.query.get("id", "")
        if not identity:
            raise InvalidArgument("build ID not provided")
        builds.cancel(identity)
        return web.Response(status=204)

    async def prune(request: web.Request) -> web.Response:
        return json_response(await builds.prune(_prune_request(request)))

    return [
        Route("POST", "/build", build),
        Route("POST", "/build/cancel", cancel, since="1.39"),
        Route("POST", "/build/prune", prune, since="1.31"),
    ]


def parse_request(request: web.Request) -> BuildRequest:
    """Read all parameters of `POST /build`; InvalidArgument, Unimplemented."""
    from tiffin.build.plan import parse_build_platform  # the builder, spared while idle

    query = request.query
    _check_version(query.get("version", ""))
    if flag(request, "squash"):
        raise InvalidArgument("squash is only supported with experimental mode")
    if query.get("outputs", "") not in ("", "[]", "null"):
        raise InvalidArgument("outputs are only supported with BuildKit")
    return BuildRequest(
        dockerfile=query.get("dockerfile", ""),
        names=tuple(_names(query.getall("t", []))),
        remote=query.get("remote", ""),
        identity=query.get("buildid", ""),
        quiet=flag(request, "q"),
        no_cache=flag(request, "nocache"),
        cache_from=tuple(_json(request, "cachefrom", list[str]) or ()),
        pull=flag(request, "pull"),
        arguments=_json(request, "buildargs", dict[str, str | None]) or {},
        labels=_json(request, "labels", dict[str, str]) or {},
        target=query.get("target", ""),
        platform=parse_build_platform(query.get("platform", "")),
        network=query.get("networkmode", "") or "default",
        limits=_limits(request),
        credentials=decode_auths(request.headers.get("X-Registry-Config", "")),
        explains=flag(request, "explain"),
    )


def _check_version(version: str) -> None:
    if version == "2":
        raise Unimplemented(
            "BuildKit sessions are not offered by this engine; use the classic builder "
            "(DOCKER_BUILDKIT=0)"
        )
    if version not in ("", "1"):
        raise InvalidArgument(f"invalid version {version}")


def _names(texts: list[str]) -> list[Reference]:
    names: dict[str, Reference] = {}
    for text in texts:
        if not text:
            continue
        reference = parse_reference(text)
        if reference.digest:
            raise InvalidArgument("build tag cannot contain a digest")
        reference = reference.with_default_tag()
        names.setdefault(str(reference), reference)
    return list(names.values())


def _json(request: web.Request, name: str, kind: Any) -> Any:  # noqa: ANN401  # JSON of any shape
    text = request.query.get(name, "")
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=kind | None)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"error reading {name}: {error}") from error


def _limits(request: web.Request) -> RunLimits:
    query = request.query
    memory = integer(request, "memory", 0)
    if 0 < memory < SMALLEST_MEMORY:
        raise InvalidArgument("Minimum memory limit allowed is 6MB")
    shm_size = integer(request, "shmsize", 0)
    if shm_size < 0:
        raise InvalidArgument("SHM size can not be less than 0")
    return RunLimits(
        memory=memory,
        memory_swap=integer(request, "memswap", 0),
        cpu_shares=integer(request, "cpushares", 0),
        cpuset_cpus=query.get("cpusetcpus", ""),
        cpuset_mems=query.get("cpusetmems", ""),
        cpu_period=integer(request, "cpuperiod", 0),
        cpu_quota=integer(request, "cpuquota", 0),
        shm_size=shm_size,
        ulimits=tuple(_ulimits(request)),
        extra_hosts=tuple(_extra_hosts(request)),
        cgroup_parent=query.get("cgroupparent", ""),
    )


def _ulimits(request: web.Request) -> list[tuple[str, int, int]]:
    raw = _json(request, "ulimits", list[dict[str, Any]]) or []
    items = [codec.convert(item, UlimitRequest) for item in raw]
    return [(item.name, item.soft, item.hard) for item in items]


def _extra_hosts(request: web.Request) -> list[str]:
    """Docker's client sends one JSON array or several plain values; older ones commas."""
    found: list[str] = []
    for text in request.query.getall("extrahosts", []):
        if text.startswith("["):
            try:
                found += msgspec.json.decode(text, type=list[str])
            except (msgspec.MsgspecError, RecursionError) as error:
                raise InvalidArgument(f"error reading extrahosts: {error}") from error
        else:
            found += [part for part in text.split(",") if part]
    for item in found:
        name, separator, address = item.partition(":")
        if not (name and separator and address):
            raise InvalidArgument(f'bad format for add-host: "{item}"')
    return found


def _prune_request(request: web.Request) -> PruneRequest:
    space = integer(request, "reserved-space")
    if space is None:
        space = integer(request, "keep-storage")
    limit = integer(request, "max-used-space", 0)
    return PruneRequest(
        flag(request, "all"), filters(request), space or limit, flag(request, "dry-run")
    )
