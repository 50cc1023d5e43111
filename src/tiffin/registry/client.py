"""One registry endpoint as seen by pull and push (OCI distribution-spec)."""

# Annotations that stay text keep aiohttp's client out of an idle daemon.
from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from tiffin.registry.auth import Authorizer, Scope
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.endpoints import Endpoint
from tiffin.registry.errors import RegistryError
from tiffin.registry.transport import Retry, Transport, chunks
from tiffin.spec.descriptor import INDEXES, MANIFESTS, Descriptor, as_array, decode_object
from tiffin.spec.digest import Digest, digest_bytes, parse_digest

ACCEPTED = (*sorted(MANIFESTS), *sorted(INDEXES))
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
    ) -> None:
        self.endpoint = endpoint
        self._transport = Transport(endpoint, user_agent=user_agent, retry=retry)
        self.authorizer = Authorizer(self._transport, credentials)
        self._base = URL(f"{endpoint.url}/v2/")

    @property
    def retry(self) -> Retry:
        """How patiently transfers should be retried."""
        return self._transport.retry

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
        """Fetch a manifest or index by tag or digest; RegistryError if unknown or tampered."""
        headers = {"Accept": ", ".join(ACCEPTED)}
        response, data = await self._document(
            "GET", f"{repository}/manifests/{reference}", Scope(repository), headers=headers
        )
        digest = digest_bytes(data)
        if ":" in reference:
            digest = parse_digest(reference)
            if _digest_as(data, digest) != digest:
                raise RegistryError(f"manifest verification failed for digest {digest}")
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if media_type not in ACCEPTED:
            media_type = _media_type(data) or media_type
        return RemoteManifest(Descriptor(media_type, digest, len(data)), data)

    async def resolve(self, repository: str, tag: str) -> Digest | None:
        """Return what a tag points to without fetching it; None if the registry does not say."""
        headers = {"Accept": ", ".join(ACCEPTED)}
        response, _ = await self._document(
            "HEAD", f"{repository}/manifests/{tag}", Scope(repository), headers=headers
        )
        digest = response.headers.get("Docker-Content-Digest", "")
        return parse_digest(digest) if digest else None

    async def referrers(self, repository: str, subject: Digest) -> list[Descriptor]:
        """Return what refers to a manifest, following pagination; RegistryError."""
        found: list[Descriptor] = []
        path = f"{repository}/referrers/{subject}"
        while True:
            response, data = await self._document("GET", path, Scope(repository))
            entries = as_array(decode_object(data, "referrers").get("manifests"), "referrers")
            found += [Descriptor.from_json(entry, "referrers") for entry in entries]
            link = response.links.get("next")
            if link is None or not entries or len(found) > 100_000:
                return found
            path = str(link["url"])

    async def tags(self, repository: str) -> list[str]:
        """Return all tags of a repository, following pagination."""
        found: list[str] = []
        path = f"{repository}/tags/list"
        while True:
            response, data = await self._document("GET", path, Scope(repository))
            try:
                found += [str(tag) for tag in json.loads(data).get("tags") or []]
            except (ValueError, AttributeError, TypeError, RecursionError) as error:
                raise RegistryError(f"{repository}: the list of tags is malformed") from error
            link = response.links.get("next")
            if link is None or len(found) > 1_000_000:
                return found
            path = str(link["url"])

    async def has_blob(self, repository: str, digest: Digest) -> bool:
        """Tell whether the repository has the blob already."""
        response, _ = await self._document(
            "HEAD", f"{repository}/blobs/{digest}", Scope(repository, "pull,push"),
            accept=(200, 404),
        )  # fmt: skip
        return response.status == 200

    async def blob_size(self, repository: str, digest: Digest) -> int:
        """Return a blob's length in bytes; RegistryError, with status 404 if there is none."""
        response, _ = await self._document(
            "HEAD", f"{repository}/blobs/{digest}", Scope(repository)
        )
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
        async with self._stream(
            "GET", f"{repository}/blobs/{digest}", Scope(repository), headers, (200, 206)
        ) as response:
            start = 0
            if response.status == 206:
                match = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
                start = int(match[1]) if match else offset
            length = response.content_length
            size = None if length is None else start + length
            yield BlobBody(start, chunks(response), size)

    async def mount(self, repository: str, digest: Digest, source: str) -> URL | None:
        """Ask to mount the blob from `source`; None if done, else an upload location."""
        return await self._begin(repository, {"mount": digest, "from": source}, source)

    async def begin_upload(self, repository: str) -> URL:
        """Open an upload session and return its location."""
        location = await self._begin(repository, {}, "")
        if location is None:
            raise RegistryError(f"{repository}: the registry gave no upload location")
        return location

    async def upload(
        self,
        repository: str,
        location: URL,
        digest: Digest,
        size: int,
        data: AsyncIterator[bytes],
    ) -> None:
        """Send a whole blob in one request and close the session."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        headers |= await self._authorization(location, Scope(repository, "pull,push"))
        async with self._transport.send(
            "PUT", location.extend_query(digest=digest), headers=headers, data=data, accept=(201,)
        ):
            pass

    async def upload_chunk(self, repository: str, location: URL, offset: int, data: bytes) -> URL:
        """Send one piece of a blob and return where the next one goes."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(data)),
            "Content-Range": f"{offset}-{offset + len(data) - 1}",
        }
        headers |= await self._authorization(location, Scope(repository, "pull,push"))
        async with self._transport.send(
            "PATCH", location, headers=headers, data=io.BytesIO(data), accept=(202,)
        ) as response:
            return _location(response) or location

    async def finish_upload(self, repository: str, location: URL, digest: Digest) -> None:
        """Close a session of chunks."""
        headers = await self._authorization(location, Scope(repository, "pull,push"))
        await self._transport.document(
            "PUT", location.extend_query(digest=digest), headers=headers, accept=(201,)
        )

    async def put_manifest(
        self, repository: str, reference: str, descriptor: Descriptor, data: bytes
    ) -> None:
        """Store a manifest under a tag or digest."""
        await self._document(
            "PUT", f"{repository}/manifests/{reference}", Scope(repository, "pull,push"),
            headers={"Content-Type": descriptor.media_type}, data=data, accept=(201,),
        )  # fmt: skip

    async def _begin(self, repository: str, query: dict[str, str], source: str) -> URL | None:
        scopes = [Scope(repository, "pull,push")] + ([Scope(source)] if source else [])
        response, _ = await self._document(
            "POST", f"{repository}/blobs/uploads/", *scopes, query=query, data=b"",
            accept=(201, 202),
        )  # fmt: skip
        return None if query and response.status == 201 else _location(response)

    async def _authorization(self, target: URL, *scopes: Scope) -> dict[str, str]:
        """Return credentials, but only for the registry's own origin."""
        return (
            await self.authorizer.header(scopes) if target.origin() == self._base.origin() else {}
        )

    async def _document(
        self, method: str, path: str, *scopes: Scope, headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None, **options: Any,  # noqa: ANN401  # see Transport
    ) -> tuple[aiohttp.ClientResponse, bytes]:  # fmt: skip
        url = self._base.join(URL(path)).extend_query(query or {})
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
    async def _stream(
        self, method: str, path: str, scope: Scope, headers: dict[str, str],
        accept: Sequence[int],
    ) -> AsyncIterator[aiohttp.ClientResponse]:  # fmt: skip
        url = self._base.join(URL(path))
        headers = headers | await self._authorization(url, scope)
        async with self._transport.send(method, url, headers=headers, accept=accept) as response:
            yield response


def _location(response: aiohttp.ClientResponse) -> URL | None:
    text = response.headers.get("Location")
    return response.url.join(URL(text, encoded=True)) if text else None


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
