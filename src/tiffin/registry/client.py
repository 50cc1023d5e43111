"""One registry endpoint as seen by pull and push (OCI distribution-spec)."""

# Annotations that stay text keep aiohttp's client out of an idle daemon.
from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from tiffin.errors import InvalidArgument
from tiffin.registry.auth import CATALOG, Authorizer, Scope
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.endpoints import Endpoint
from tiffin.registry.errors import RegistryError
from tiffin.registry.headers import next_link
from tiffin.registry.transport import Patience, Retry, Transport, parse_url
from tiffin.registry.upload import Upload, parse_progress
from tiffin.spec.descriptor import (
    INDEXES,
    MANIFESTS,
    Descriptor,
    as_array,
    as_strings,
    decode_object,
)
from tiffin.spec.digest import Digest, digest_bytes, parse_digest

ACCEPTED = (*sorted(MANIFESTS), *sorted(INDEXES))
_ACCEPT = {"Accept": ", ".join(ACCEPTED)}
_BYTES = "application/octet-stream"
_MAX_PAGES = 10_000
_MAX_TAGS = 1_000_000
_MAX_REFERRERS = 100_000
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class RemoteManifest:
    """A manifest or index as the registry sent it; its digest has been checked."""

    descriptor: Descriptor
    data: bytes

    @property
    def digest(self) -> Digest:
        """What it is named by."""
        return self.descriptor.digest


@dataclass(frozen=True, slots=True)
class BlobBody:
    """A blob on its way. `offset` is where `chunks` start: 0 if the server ignored our range.

    `size` is that of the whole blob, None if the server does not say.
    """

    offset: int
    chunks: AsyncIterator[bytes]
    size: int | None = None


class RegistryClient:
    """One endpoint with one user's credentials; use it as an async context manager."""

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: Credentials = ANONYMOUS,
        *,
        user_agent: str = "tiffin",
        retry: Retry | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._transport = Transport(endpoint, user_agent=user_agent, retry=retry, patience=patience)
        self.authorizer = Authorizer(self._transport, credentials)
        self._base = parse_url(f"{endpoint.url}/v2/", "registry")

    @property
    def retry(self) -> Retry:
        """How patiently transfers should be retried."""
        return self._transport.retry

    @property
    def patience(self) -> Patience:
        """How long the registry is waited for."""
        return self._transport.patience

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def manifest(self, repository: str, reference: str) -> RemoteManifest:
        """Fetch a manifest or index by tag or digest; RegistryError if unknown or tampered with."""
        response, data = await self._document(
            "GET", f"manifests/{reference}", Scope(repository), headers=_ACCEPT
        )
        claimed = response.headers.get("Docker-Content-Digest", "")
        digest = digest_bytes(data)
        if ":" in reference:
            digest = parse_digest(reference)
        elif claimed:
            digest = _claimed_digest(claimed) or digest
        if _digest_as(data, digest) != digest:
            raise RegistryError(f"manifest verification failed for digest {digest}")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if media_type not in ACCEPTED:
            media_type = _media_type(data) or media_type
        return RemoteManifest(Descriptor(media_type, digest, len(data)), data)

    async def resolve(self, repository: str, reference: str) -> Digest | None:
        """Return what a tag points to without fetching it; None if the registry does not say."""
        response, _ = await self._document(
            "HEAD", f"manifests/{reference}", Scope(repository), headers=_ACCEPT
        )
        return _claimed_digest(response.headers.get("Docker-Content-Digest", ""))

    async def referrers(self, repository: str, subject: Digest) -> list[Descriptor]:
        """Return what refers to a manifest, following pagination; RegistryError."""
        found: list[Descriptor] = []
        url = self._url(repository, f"referrers/{subject}")
        async for data in self._pages(url, Scope(repository)):
            entries = as_array(decode_object(data, "referrers").get("manifests"), "referrers")
            found += [Descriptor.from_json(entry, "referrers") for entry in entries]
            if not entries or len(found) > _MAX_REFERRERS:
                break
        return found

    async def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository, following pagination; RegistryError."""
        found: list[str] = []
        async for data in self._pages(self._url(repository, "tags/list"), Scope(repository)):
            try:
                tags = json.loads(data).get("tags") or []
                found += [tag for tag in tags if isinstance(tag, str)]
            except (ValueError, AttributeError, TypeError, RecursionError) as error:
                raise RegistryError(f"{repository}: the list of tags is malformed") from error
            if len(found) > _MAX_TAGS:
                raise RegistryError(f"{repository}: more than {_MAX_TAGS} tags")
        return found

    async def catalog(self) -> list[str]:
        """Return all repositories that may be seen, following pagination; RegistryError."""
        found: list[str] = []
        async for data in self._pages(self._base.join(URL("_catalog")), CATALOG):
            names = as_strings(decode_object(data, "catalog").get("repositories"), "catalog")
            found += names or ()
            if len(found) > _MAX_TAGS:
                raise RegistryError(f"{self.endpoint.host}: more than {_MAX_TAGS} repositories")
        return found

    async def search(self, term: str, limit: int) -> list[Any]:
        """Ask the index of the registry (its older API) for repositories; RegistryError."""
        url = self._base.join(URL("/v1/search")).with_query(q=term, n=limit)
        _, data = await self._transport.document("GET", url)
        return as_array(decode_object(data, "search results").get("results"), "search results")

    async def _pages(self, url: URL, scope: Scope) -> AsyncIterator[bytes]:
        """Yield the pages of a list; RegistryError for links that lead elsewhere or in circles."""
        seen = {url}
        while True:
            response, data = await self._document("GET", url, scope)
            yield data
            link = next_link(response.headers.getall("Link", []))
            if not link:
                return
            url = response.url.join(parse_url(link, "next page"))
            if url.origin() != self._base.origin() or url in seen or len(seen) >= _MAX_PAGES:
                raise RegistryError(
                    f"{self.endpoint.host}: the link to the next page leads nowhere: {link[:200]}"
                )
            seen.add(url)

    async def has_blob(self, repository: str, digest: Digest) -> bool:
        """Tell whether the repository has the blob already."""
        response, _ = await self._document(
            "HEAD", f"blobs/{digest}", Scope(repository, "pull,push"), accept=(200, 404)
        )  # fmt: skip
        return response.status == 200

    async def blob_size(self, repository: str, digest: Digest) -> int:
        """Return a blob's length in bytes; RegistryError, with status 404 if there is none."""
        response, _ = await self._document("HEAD", f"blobs/{digest}", Scope(repository))
        if response.content_length is None:
            raise RegistryError(f"{repository}: the registry does not say how long {digest} is")
        return response.content_length

    @asynccontextmanager
    async def blob(
        self, repository: str, digest: Digest, offset: int = 0
    ) -> AsyncIterator[BlobBody]:
        """Open a blob for streaming from `offset`; the caller checks the digest.

        Chunks raise Unreachable where the connection breaks.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        url = self._url(repository, f"blobs/{digest}")
        async with self._authorized(url, Scope(repository), headers) as response:
            yield self._body(response, offset)

    @asynccontextmanager
    async def foreign_blob(self, url: str, offset: int = 0) -> AsyncIterator[BlobBody]:
        """Open a blob that is kept elsewhere, as its descriptor says; nobody's credentials go there."""
        target = parse_url(url, "foreign layer")
        if target.scheme not in ("http", "https") or not target.host or target.user:
            raise RegistryError(f"unsupported foreign layer URL {url[:200]!r}")
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        async with self._transport.send(
            "GET", target, headers=headers, accept=(200, 206), verified=True
        ) as response:
            yield self._body(response, offset)

    def _body(self, response: aiohttp.ClientResponse, offset: int) -> BlobBody:
        start = 0
        if response.status == 206:
            match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
            start = int(match[1]) if match else offset
        length = response.content_length
        size = None if length is None else start + length
        return BlobBody(start, self._transport.chunks(response), size)

    async def mount(self, repository: str, digest: Digest, source: str) -> Upload | None:
        """Ask to mount the blob from `source`; None if done, else an upload that was opened."""
        query = {"mount": digest, "from": self._name(source)}
        return await self._begin(repository, query, Scope(source))

    async def begin_upload(self, repository: str) -> Upload:
        """Open an upload."""
        upload = await self._begin(repository, {})
        if upload is None:
            raise RegistryError(f"{repository}: the registry gave no upload location")
        return upload

    async def upload_status(self, upload: Upload) -> Upload:
        """Ask how much of an upload has arrived; RegistryError if it is unknown by now."""
        response, _ = await self._document(
            "GET", upload.location, upload.scope, accept=(200, 202, 204)
        )
        offset = parse_progress(response.headers.get("Range", ""))
        return upload.at(offset, _location(response))

    async def upload(
        self, upload: Upload, digest: Digest, size: int, data: AsyncIterator[bytes]
    ) -> None:
        """Send a whole blob in one request and close the upload."""
        headers = {"Content-Type": _BYTES, "Content-Length": str(size)}
        headers |= await self._authorization(upload.location, upload.scope)
        async with self._transport.send(
            "PUT", upload.location.extend_query(digest=digest), headers=headers, data=data,
            accept=(201,), read_s=self._transport.patience.finish_s,
        ):  # fmt: skip
            pass

    async def upload_piece(
        self, upload: Upload, size: int, data: AsyncIterator[bytes] | bytes
    ) -> Upload:
        """Send the next `size` bytes of a blob; return the upload as it is then."""
        headers = {
            "Content-Type": _BYTES,
            "Content-Length": str(size),
            "Content-Range": f"{upload.offset}-{upload.offset + size - 1}",
        }
        headers |= await self._authorization(upload.location, upload.scope)
        body = io.BytesIO(data) if isinstance(data, bytes) else data
        async with self._transport.send(
            "PATCH", upload.location, headers=headers, data=body, accept=(202,),
            read_s=self._transport.patience.finish_s,
        ) as response:  # fmt: skip
            return upload.at(upload.offset + size, _location(response))

    async def finish_upload(self, upload: Upload, digest: Digest) -> None:
        """Close an upload whose bytes have all been sent."""
        await self._document(
            "PUT", upload.location.extend_query(digest=digest), upload.scope, accept=(201,),
            read_s=self._transport.patience.finish_s,
        )  # fmt: skip

    async def put_manifest(
        self, repository: str, reference: str, descriptor: Descriptor, data: bytes
    ) -> None:
        """Store a manifest under a tag or digest."""
        await self._document(
            "PUT", f"manifests/{reference}", Scope(repository, "pull,push"),
            headers={"Content-Type": descriptor.media_type}, data=data, accept=(201,),
        )  # fmt: skip

    async def _begin(self, repository: str, query: dict[str, str], *more: Scope) -> Upload | None:
        scope = Scope(repository, "pull,push")
        response, _ = await self._document(
            "POST", self._url(repository, "blobs/uploads/").extend_query(query), scope, *more,
            data=b"", accept=(201, 202),
        )  # fmt: skip
        location = _location(response)
        if (query and response.status == 201) or location is None:
            return None
        smallest = response.headers.get("OCI-Chunk-Min-Length", "")
        return Upload(location, scope, smallest=int(smallest) if smallest.isdecimal() else 0)

    def _name(self, repository: str) -> str:
        prefix = self.endpoint.prefix
        return f"{prefix}/{repository}" if prefix else repository

    def _scope(self, scope: Scope) -> Scope:
        if scope is CATALOG:
            return scope
        return replace(scope, repository=self._name(scope.repository))

    def _url(self, repository: str, path: str) -> URL:
        return self._base.join(URL(f"{self._name(repository)}/{path}"))

    async def _authorization(self, target: URL, *scopes: Scope) -> dict[str, str]:
        """Return credentials, but only for the registry's own origin."""
        if target.origin() != self._base.origin():
            return {}
        return await self.authorizer.header(map(self._scope, scopes))

    async def _document(
        self, method: str, target: str | URL, *scopes: Scope,
        headers: Mapping[str, str] | None = None, **options: Any,  # noqa: ANN401  # see Transport
    ) -> tuple[aiohttp.ClientResponse, bytes]:  # fmt: skip
        """Send a request about a URL, or a path below the (first) scope's repository."""
        url = target if isinstance(target, URL) else self._url(scopes[0].repository, target)
        for attempt in range(2):
            authorization = await self._authorization(url, *scopes)
            try:
                return await self._transport.document(
                    method, url, headers={**(headers or {}), **authorization}, **options
                )
            except RegistryError as error:
                if error.status != 401 or attempt or not authorization:
                    raise
                self.authorizer.forget()
        raise AssertionError("two attempts are made")

    @asynccontextmanager
    async def _authorized(
        self, url: URL, scope: Scope, headers: dict[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Open a blob, with a new token if the one at hand has run out."""
        async with AsyncExitStack() as stack:
            for attempt in range(2):
                authorization = await self._authorization(url, scope)
                request = self._transport.send(
                    "GET", url, headers=headers | authorization, accept=(200, 206), verified=True
                )
                try:
                    response = await stack.enter_async_context(request)
                    break
                except RegistryError as error:
                    if error.status != 401 or attempt or not authorization:
                        raise
                    self.authorizer.forget()
            yield response


def _location(response: aiohttp.ClientResponse) -> URL | None:
    text = response.headers.get("Location")
    return response.url.join(parse_url(text, "upload location")) if text else None


def _claimed_digest(text: str) -> Digest | None:
    """Return the digest that a header names, None if it is none that we know."""
    try:
        return parse_digest(text)
    except InvalidArgument:
        return None


def _media_type(data: bytes) -> str:
    """Return what the document itself claims; registries sometimes send `text/plain`."""
    try:
        claimed = json.loads(data).get("mediaType")
    except (ValueError, AttributeError, RecursionError):
        return ""
    return claimed if isinstance(claimed, str) else ""


def _digest_as(data: bytes, digest: Digest) -> Digest:
    algorithm = digest.partition(":")[0]
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")
