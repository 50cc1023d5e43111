"""The aiohttp application: all routes, with and without a version prefix.

Routing is one aiohttp resource that strips the prefix itself and looks the rest up by method and
first segment. aiohttp's own dispatcher would try every pattern in turn for a versioned path.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yarl
from aiohttp import web
from aiohttp.web_urldispatcher import UrlMappingMatchInfo

from tiffin.api.version import DEFAULT, ApiVersion, check_supported
from tiffin.errors import InvalidArgument
from tiffin.server.hijack import EngineRunner
from tiffin.server.middleware import add_headers, guarded
from tiffin.server.routing import Handler, Route
from tiffin.server.status import error_response
from tiffin.server.stream import STREAMS, Streams
from tiffin.server.version import set_request_version

MAX_LINE = 1 << 20
MAX_HEADER = 4 << 20
"""Bytes. Build arguments come in the query, all registry credentials in one header."""
READ_BUFFER = 256 << 10
SHUTDOWN_TIMEOUT_S = 2.0

_PREFIX = re.compile(r"/v([0-9.]+)(/.*)")
_PLACEHOLDER = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


def application(routes: Iterable[Route]) -> web.Application:
    """Make the application that serves `routes`."""
    app = web.Application(client_max_size=1 << 62)
    app[STREAMS] = Streams()
    app.router.register_resource(EngineResource(routes))
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_end_streams)
    return app


def runner(app: web.Application) -> EngineRunner:
    """Make the runner of the application; after `setup` its `server` is a protocol factory."""
    return EngineRunner(
        app,
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        max_line_size=MAX_LINE,
        max_field_size=MAX_HEADER,
        read_bufsize=READ_BUFFER,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
    )


async def _end_streams(app: web.Application) -> None:
    app[STREAMS].cancel()


@dataclass(frozen=True, slots=True)
class _Target:
    """A route ready to be matched: `pattern` is None if the path has no placeholder."""

    path: str
    pattern: re.Pattern[str] | None
    since: ApiVersion
    route: web.ResourceRoute


@dataclass(frozen=True, slots=True)
class _Table:
    """The routes of one method."""

    fixed: dict[str, _Target] = field(default_factory=dict)
    patterns: dict[str, list[_Target]] = field(default_factory=dict)


class EngineResource(web.AbstractResource):
    """All routes as one resource."""

    def __init__(self, routes: Iterable[Route]) -> None:
        super().__init__()
        self._tables: dict[str, _Table] = {}
        self._routes: list[web.ResourceRoute] = []
        self._unknown = web.ResourceRoute("*", guarded(_page_not_found), self)
        for route in routes:
            self._add(route)

    async def resolve(self, request: web.Request) -> tuple[UrlMappingMatchInfo, set[str]]:
        """Find the route; what cannot be found or served has a route that says so."""
        path = request.rel_url.path_safe
        if "//" in request.rel_url.path or "/." in request.rel_url.path:
            cleaned = _cleaned(request.rel_url.path)
            if cleaned != request.rel_url.path:
                return UrlMappingMatchInfo({}, self._moved(cleaned)), set()
        version, text = DEFAULT, ""
        if path.startswith("/v") and (prefixed := _PREFIX.fullmatch(path)):
            text, path = prefixed[1], prefixed[2]
            try:
                version = ApiVersion.parse(text)
            except InvalidArgument:
                version = ApiVersion(0, 0)
        found = self._find(request.method, path)
        if found is None:
            return UrlMappingMatchInfo({}, self._unknown), set()
        target, values = found
        if text:
            try:
                check_supported(version, text)
            except InvalidArgument as error:
                return UrlMappingMatchInfo({}, self._refusing(error.message)), set()
            if version < target.since:
                return UrlMappingMatchInfo({}, self._unknown), set()
            set_request_version(request, version)
        return UrlMappingMatchInfo(values, target.route), set()

    def _add(self, route: Route) -> None:
        entry = web.ResourceRoute(route.method, guarded(route.handler), self)
        self._routes.append(entry)
        table = self._tables.setdefault(route.method, _Table())
        since = ApiVersion.parse(route.since)
        if "{" not in route.path:
            table.fixed[route.path] = _Target(route.path, None, since, entry)
            return
        target = _Target(route.path, _compile(route.path), since, entry)
        table.patterns.setdefault(_first_segment(route.path), []).append(target)

    def _find(self, method: str, path: str) -> tuple[_Target, dict[str, str]] | None:
        table = self._tables.get(method)
        if table is None:
            return None
        target = table.fixed.get(path)
        if target is not None:
            return target, {}
        for target in table.patterns.get(_first_segment(path), ()):
            match = target.pattern.fullmatch(path) if target.pattern else None
            if match:
                return target, {k: _decode(v) for k, v in match.groupdict().items()}
        return None

    def _moved(self, path: str) -> web.ResourceRoute:
        """Send to a cleaned path, as the router of Docker's does."""

        async def move(request: web.Request) -> web.StreamResponse:
            target = request.rel_url.with_path(path, keep_query=True)
            return web.Response(status=301, headers={"Location": str(target)})

        return web.ResourceRoute("*", guarded(move), self)

    def _refusing(self, message: str) -> web.ResourceRoute:
        async def refuse(request: web.Request) -> web.StreamResponse:
            del request
            return error_response(400, message)

        return web.ResourceRoute("*", refuse, self)

    # The rest of aiohttp's contract, for a resource that has no one path.

    @property
    def canonical(self) -> str:
        """Return the path that everything is below of."""
        return "/"

    def url_for(self, **kwargs: str) -> yarl.URL:
        """Return the root: there is no one URL."""
        del kwargs
        return yarl.URL("/")

    def add_prefix(self, prefix: str) -> None:
        """Refuse: versions are the only prefixes."""
        raise NotImplementedError(prefix)

    def get_info(self) -> Any:  # noqa: ANN401  # aiohttp's own shape
        """Describe the resource."""
        return {"path": "/"}

    def raw_match(self, path: str) -> bool:
        """Tell that every path is answered here."""
        return path.startswith("/")

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[web.ResourceRoute]:
        return iter(self._routes)


async def _page_not_found(request: web.Request) -> web.StreamResponse:
    del request
    return error_response(404, "page not found")


def _cleaned(path: str) -> str:
    """Return a path without empty, `.` and `..` segments; a slash at the end stays."""
    clean = "/" + posixpath.normpath(path).lstrip("/")
    return f"{clean}/" if path.endswith("/") and clean != "/" else clean


def _first_segment(path: str) -> str:
    return path[1:].partition("/")[0]


def _compile(path: str) -> re.Pattern[str]:
    parts: list[str] = []
    position = 0
    for placeholder in _PLACEHOLDER.finditer(path):
        parts.append(re.escape(path[position : placeholder.start()]))
        parts.append(f"(?P<{placeholder[1]}>{placeholder[2] or '[^/]+'})")
        position = placeholder.end()
    parts.append(re.escape(path[position:]))
    return re.compile("".join(parts), re.DOTALL)


def _decode(value: str) -> str:
    return value.replace("%2F", "/").replace("%25", "%")


__all__ = ["Handler", "application", "runner"]
