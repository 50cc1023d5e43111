"""The page's URLs: `/`, its two files, and the JSON that it shows.

Nothing in the page comes from elsewhere and nothing in it is inline; the policy that it is served with
forbids both. Names and annotations reach the browser as JSON and become text there, never markup.
"""

import asyncio
from importlib import resources

from aiohttp import web

from tiffin.distribution.access.gate import Action, Gate, Visit
from tiffin.distribution.catalog import Catalog
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.manifests import Manifests
from tiffin.distribution.names import parse_name, parse_reference
from tiffin.distribution.web.browse import Browser

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_FILES = {
    "/": ("index.html", "text/html"),
    "/ui/style.css": ("style.css", "text/css"),
    "/ui/app.js": ("app.js", "text/javascript"),
    "/ui/icon.svg": ("icon.svg", "image/svg+xml"),
}
_PAGE = 100


class Pages:
    """Handlers. `about` is what the page says about this registry."""

    def __init__(
        self, gate: Gate, catalog: Catalog, manifests: Manifests, browser: Browser, about: str
    ) -> None:
        self._gate = gate
        self._catalog = catalog
        self._manifests = manifests
        self._browser = browser
        self._about = about
        folder = resources.files(__package__)
        self._files = {name: (folder / name).read_bytes() for name, _ in _FILES.values()}

    def add_to(self, app: web.Application) -> None:
        """Register the URLs."""
        for path in _FILES:
            app.router.add_get(path, self.file)
        app.router.add_get("/ui/api/repositories", self.repositories)
        app.router.add_get("/ui/api/tags", self.tags)
        app.router.add_get("/ui/api/image", self.image)
        app.router.add_get("/ui/login", self.login)

    async def file(self, request: web.Request) -> web.Response:
        """Return the page or a part of it."""
        name, kind = _FILES[request.path]
        return web.Response(
            body=self._files[name], content_type=kind, charset="utf-8", headers=_HEADERS
        )

    async def repositories(self, request: web.Request) -> web.Response:
        """Return the repositories whose names contain `q`, after `last`."""
        visit = await self._gate.admit(request)
        wanted, last = request.query.get("q", "").strip().lower(), request.query.get("last", "")
        names = [
            name
            for name in await self._catalog.names()
            if visit.may(name, Action.PULL) and all(word in name for word in wanted.split())
        ]
        if not names and not wanted:
            self._ask_for_login(request)
        rest = [name for name in names if name > last]
        entries = await asyncio.gather(*map(self._entry, rest[:_PAGE]))
        return web.json_response(
            {
                "about": self._about,
                "user": visit.user,
                "canLogIn": bool(self._gate.page_challenge) and not visit.user,
                "total": len(names),
                "more": len(rest) > _PAGE,
                "repositories": entries,
            }
        )

    async def tags(self, request: web.Request) -> web.Response:
        """Return the tags of the repository `name`."""
        name = await self._visible(request)
        return web.json_response({"name": name, "tags": await self._browser.tags(name)})

    async def image(self, request: web.Request) -> web.Response:
        """Return what the manifest `reference` of the repository `name` consists of."""
        name = await self._visible(request)
        reference = parse_reference(request.query.get("reference", ""))
        return web.json_response(await self._browser.image(name, reference))

    async def login(self, request: web.Request) -> web.Response:
        """Let the browser ask for name and password, then return to the page."""
        visit = await self._gate.admit(request)
        if not visit.user:
            self._ask_for_login(request)
        raise web.HTTPFound("/")

    async def _entry(self, name: str) -> dict[str, object]:
        tags = [tag async for tag in self._manifests.tags(name)]
        return {"name": name, "tags": len(tags), "size": await self._browser.size(name)}

    async def _visible(self, request: web.Request) -> str:
        visit: Visit = await self._gate.admit(request)
        name = parse_name(request.query.get("name", ""))
        if not visit.may(name, Action.PULL):
            self._ask_for_login(request)
            raise DistributionError(Code.DENIED)
        await self._catalog.check(name)
        return name

    def _ask_for_login(self, request: web.Request) -> None:
        """UNAUTHORIZED, if logging in may help."""
        if self._gate.page_challenge and "Authorization" not in request.headers:
            headers = {"WWW-Authenticate": self._gate.page_challenge}
            raise DistributionError(Code.UNAUTHORIZED, headers=headers)
