"""A small v2 registry in this process, with the bad habits of real ones on demand.

It keeps everything in memory and checks what clients send (digests, order of chunks, tokens), so
that a test fails where a real registry would refuse.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web

_CHUNK = 1 << 20


@dataclass(slots=True)
class Faults:
    """What goes wrong, and how often."""

    break_after: dict[str, int] = field(default_factory=dict)
    """Cut the next download of a blob after so many bytes."""
    stall_after: dict[str, int] = field(default_factory=dict)
    """Send nothing more of the next download of a blob after so many bytes."""
    statuses: list[int] = field(default_factory=list)
    """Answer the next requests below a repository with these statuses."""
    ignore_range: bool = False
    corrupt: set[str] = field(default_factory=set)
    """Send other bytes than the digest says."""
    max_request: int = 0
    """Refuse uploads of more bytes in one request (413)."""
    claimed_digest: str = ""
    """What `Docker-Content-Digest` says of manifests, whatever they are."""
    cut_uploads: list[int] = field(default_factory=list)
    """Cut the next uploads after so many bytes, which are kept."""
    retry_after: str = ""
    """Sent along with `statuses`."""
    foreign: dict[str, bytes] = field(default_factory=dict)
    """What is served below `/foreign/`, outside of the registry."""
    redirect_to: str = ""
    """Send downloads of blobs to this base URL."""
    pauses: dict[str, asyncio.Event] = field(default_factory=dict)
    """Hold the downloads of a blob back until its event is set."""


class FakeRegistry:
    """A registry on a free port of 127.0.0.1; use it as an async context manager.

    `auth` is "" (open), `basic` or `token`; `users` are names and passwords.
    """

    def __init__(
        self,
        *,
        auth: str = "",
        users: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        anonymous_pull: bool = False,
    ) -> None:
        self.blobs: dict[str, bytes] = {}
        self.repositories: dict[str, set[str]] = {}
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.faults = Faults()
        self.log: list[str] = []
        self.authorizations: list[str] = []
        self.counts: Counter[str] = Counter()
        self.host = ""
        self._auth = auth
        self._users = users or {}
        self._anonymous_pull = anonymous_pull
        self._tls = tls
        self.ranges: dict[str, list[int]] = {}
        """Where the downloads of a blob began."""
        self.on_cut: Callable[[], None] = lambda: None
        self.index: list[object] | None = None
        """What `/v1/search` finds."""
        self.received = 0
        """Bytes of blobs that clients have sent."""
        self._uploads: dict[str, bytearray] = {}
        self._tokens: dict[str, set[str]] = {}
        self._refresh: dict[str, str] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 32)
        app.router.add_get("/token", self._token)
        app.router.add_post("/token", self._token)
        app.router.add_get("/foreign/{name}", self._foreign)
        app.router.add_get("/v1/search", self._search)
        app.router.add_get("/v2/_catalog", self._catalog)
        app.router.add_get("/v2/", self._ping)
        app.router.add_route("*", "/v2/{name:.+}/manifests/{ref}", self._manifest)
        app.router.add_route("*", "/v2/{name:.+}/blobs/uploads/", self._begin)
        app.router.add_route("*", "/v2/{name:.+}/blobs/uploads/{session}", self._upload)
        app.router.add_route("*", "/v2/{name:.+}/blobs/{digest}", self._blob)
        app.router.add_get("/v2/{name:.+}/tags/list", self._tags)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.host = f"127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def add_blob(self, name: str, data: bytes) -> str:
        """Put a blob into a repository; return its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.blobs[digest] = data
        self.repositories.setdefault(name, set()).add(digest)
        return digest

    def add_manifest(self, name: str, tag: str, media_type: str, data: bytes) -> str:
        """Put a manifest into a repository; return its digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        stored = self.manifests.setdefault(name, {})
        stored[digest] = (media_type, data)
        if tag:
            stored[tag] = (media_type, data)
        return digest

    # Access

    def _refused(self, request: web.Request, name: str, action: str) -> web.Response | None:
        self.log.append(f"{request.method} {request.path}")
        self.authorizations.append(request.headers.get("Authorization", ""))
        if self.faults.statuses and name:
            headers = {"Retry-After": self.faults.retry_after} if self.faults.retry_after else {}
            return web.Response(status=self.faults.statuses.pop(0), headers=headers)
        if not self._auth or self._is_allowed(request, name, action):
            return None
        challenge = 'Basic realm="fake"'
        if self._auth == "token":
            scope = f',scope="repository:{name}:{action}"' if name else ""
            scheme = "https" if self._tls else "http"
            challenge = f'Bearer realm="{scheme}://{self.host}/token",service="fake"{scope}'
        return _error(401, "UNAUTHORIZED", "authentication required",
                      {"WWW-Authenticate": challenge})  # fmt: skip

    def _is_allowed(self, request: web.Request, name: str, action: str) -> bool:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if self._auth == "basic":
            return scheme == "Basic" and self._is_user(value)
        granted = self._tokens.get(value)
        if granted is None or scheme != "Bearer":
            return False
        return not name or f"{name}:{action}" in granted

    def _is_user(self, packed: str) -> bool:
        user, _, password = base64.b64decode(packed).decode().partition(":")
        return bool(user) and self._users.get(user) == password

    async def _token(self, request: web.Request) -> web.Response:
        self.log.append(f"{request.method} {request.path}")
        form = await request.post() if request.method == "POST" else {}
        user = self._refresh.get(str(form.get("refresh_token", "")), "")
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            if not self._is_user(value):
                return _error(401, "UNAUTHORIZED", "incorrect username or password")
            user = base64.b64decode(value).decode().partition(":")[0]
        elif form and not user:
            return _error(401, "UNAUTHORIZED", "invalid refresh token")
        scopes = request.query.getall("scope", []) or str(form.get("scope", "")).split()
        granted: set[str] = set()
        for scope in scopes:
            _, name, actions = scope.split(":")
            for action in actions.split(","):
                if user or (self._anonymous_pull and action == "pull"):
                    granted.add(f"{name}:{action}")
        token = secrets.token_hex(8)
        self._tokens[token] = granted
        answer: dict[str, object] = {"token": token, "expires_in": 300}
        if user and request.query.get("offline_token"):
            refresh = secrets.token_hex(8)
            self._refresh[refresh] = user
            answer["refresh_token"] = refresh
        return web.json_response(answer)

    async def _ping(self, request: web.Request) -> web.Response:
        return self._refused(request, "", "") or web.json_response({})

    def expire_tokens(self) -> None:
        """Forget all tokens that were given out."""
        self._tokens.clear()

    # Manifests

    async def _manifest(self, request: web.Request) -> web.Response:
        name, ref = request.match_info["name"], request.match_info["ref"]
        if request.method == "PUT":
            return self._refused(request, name, "push") or await self._put(request, name, ref)
        if refused := self._refused(request, name, "pull"):
            return refused
        if name not in self.manifests:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        found = self.manifests[name].get(ref)
        if found is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        media_type, data = found
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        headers = {"Docker-Content-Digest": self.faults.claimed_digest or digest}
        if request.method != "HEAD":
            self.counts[f"manifest {ref}"] += 1
        return web.Response(body=data, content_type=media_type, headers=headers)

    async def _put(self, request: web.Request, name: str, ref: str) -> web.Response:
        data = await request.read()
        document = json.loads(data)
        referred = [document["config"], *document["layers"]] if "config" in document else []
        for blob in referred:
            if not blob.get("urls") and blob["digest"] not in self.repositories.get(name, set()):
                return _error(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown: {blob['digest']}")
        digest = self.add_manifest(name, ref, request.content_type, data)
        return web.Response(status=201, headers={"Docker-Content-Digest": digest})

    async def _tags(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if refused := self._refused(request, name, "pull"):
            return refused
        if name not in self.manifests:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        tags = sorted(tag for tag in self.manifests[name] if ":" not in tag)
        last = request.query.get("last", "")
        page = [tag for tag in tags if tag > last][:1]
        headers = {}
        if page and page[-1] != tags[-1]:
            headers["Link"] = f'</v2/{name}/tags/list?last={page[-1]}>; rel="next"'
        return web.json_response({"name": name, "tags": page}, headers=headers)

    # Blobs

    async def _blob(self, request: web.Request) -> web.StreamResponse:
        name, digest = request.match_info["name"], request.match_info["digest"]
        if refused := self._refused(request, name, "pull"):
            return refused
        if digest not in self.repositories.get(name, set()):
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        data = self.blobs[digest]
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": str(len(data))})
        if self.faults.redirect_to:
            location = f"{self.faults.redirect_to}{request.path}"
            return web.Response(status=307, headers={"Location": location})
        return await self._download(request, digest, data)

    async def _download(self, request: web.Request, digest: str, data: bytes) -> web.StreamResponse:
        self.counts[f"blob {digest}"] += 1
        if digest in self.faults.pauses:
            await self.faults.pauses[digest].wait()
        if digest in self.faults.corrupt:
            data = bytes(len(data))
        start = 0
        headers = {"Content-Type": "application/octet-stream"}
        if "Range" in request.headers and not self.faults.ignore_range:
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.ranges.setdefault(digest, []).append(start)
        headers["Content-Length"] = str(len(data) - start)
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        cut = self.faults.break_after.pop(digest, None)
        end = len(data) if cut is None else min(len(data), start + cut)
        for at in range(start, end, _CHUNK):
            await response.write(data[at : min(at + _CHUNK, end)])
            if digest in self.faults.stall_after and at >= self.faults.stall_after[digest]:
                del self.faults.stall_after[digest]
                await asyncio.sleep(3600)
        if cut is not None and request.transport is not None:
            request.transport.close()
        return response

    # Uploads

    async def _begin(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if refused := self._refused(request, name, "push"):
            return refused
        mount, source = request.query.get("mount", ""), request.query.get("from", "")
        if mount and mount in self.repositories.get(source, set()):
            self.repositories.setdefault(name, set()).add(mount)
            self.counts["mounts"] += 1
            return web.Response(status=201, headers={"Location": f"/v2/{name}/blobs/{mount}"})
        session = secrets.token_hex(8)
        self._uploads[session] = bytearray()
        location = f"/v2/{name}/blobs/uploads/{session}?_state=x%2Fy"
        return web.Response(status=202, headers={"Location": location})

    async def _upload(self, request: web.Request) -> web.Response:
        name, session = request.match_info["name"], request.match_info["session"]
        if refused := self._refused(request, name, "push"):
            return refused
        stored = self._uploads.get(session)
        if stored is None or request.query.get("_state") != "x/y":
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if request.method == "GET":
            headers = {"Location": request.path_qs, "Range": f"0-{max(0, len(stored) - 1)}"}
            return web.Response(status=204, headers=headers)
        limit = self.faults.max_request
        if limit and (request.content_length or 0) > limit:
            return web.Response(status=413)
        if "Content-Range" in request.headers:
            first = int(request.headers["Content-Range"].partition("-")[0])
            if first != len(stored):
                return _error(416, "BLOB_UPLOAD_INVALID", "out of order")
        await self._receive(request, stored)
        if request.method == "PATCH":
            return web.Response(status=202, headers={"Location": request.path_qs})
        data = bytes(self._uploads.pop(session))
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != request.query.get("digest"):
            return _error(400, "DIGEST_INVALID", "provided digest did not match")
        digest = self.add_blob(name, data)
        self.counts["uploads"] += 1
        return web.Response(status=201, headers={"Location": f"/v2/{name}/blobs/{digest}"})

    async def _receive(self, request: web.Request, stored: bytearray) -> None:
        cut = self.faults.cut_uploads.pop(0) if self.faults.cut_uploads else None
        begun = len(stored)
        async for chunk in request.content.iter_any():
            stored += chunk
            if cut is not None and len(stored) >= begun + cut:
                del stored[begun + cut :]
                self.received += cut
                self.on_cut()
                if request.transport is not None:
                    request.transport.abort()
                raise ConnectionResetError("cut as told")
        self.received += len(stored) - begun

    async def _search(self, _request: web.Request) -> web.Response:
        if self.index is None:
            return web.Response(status=404)
        return web.json_response({"results": self.index})

    async def _catalog(self, _request: web.Request) -> web.Response:
        return web.json_response({"repositories": sorted(self.manifests)})

    async def _foreign(self, request: web.Request) -> web.Response:
        shown = request.headers.get("Authorization", "nobody")
        self.log.append(f"{request.method} {request.path} as {shown}")
        return web.Response(body=self.faults.foreign[request.match_info["name"]])


def _error(
    status: int, code: str, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    body = {"errors": [{"code": code, "message": message}]}
    return web.json_response(body, status=status, headers=headers)
