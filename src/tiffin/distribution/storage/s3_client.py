"""The few calls of the S3 API that a registry needs, signed, with retries.

Reference: Amazon S3 API (`PutObject`, `GetObject`, `HeadObject`, `CopyObject`, `ListObjectsV2`,
`DeleteObject`, and the multipart calls). Failures are `S3Error`, an OSError; a missing object is NotFound.
"""

import asyncio
import hashlib
import io
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from xml.etree import ElementTree as ET

import aiohttp
from yarl import URL

from tiffin.distribution.storage.sigv4 import (
    UNSIGNED,
    Keys,
    encode_path,
    encode_query,
    signed_headers,
)
from tiffin.errors import NotFound

log = logging.getLogger(__name__)
_ATTEMPTS = 5
_PAUSE_S = 0.2
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_BLOCK = 256 << 10
_PAGE = 1000
_HASH_IN_PLACE = 64 << 10
Query = Sequence[tuple[str, str]]


class S3Error(OSError):
    """The object storage refused, or could not be reached."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class S3Object:
    """One object; `modified_at` in seconds since the epoch."""

    key: str
    size: int
    modified_at: float


class S3Client:
    """One bucket. `endpoint` is "" for Amazon's own; others are addressed by path."""

    def __init__(self, bucket: str, keys: Keys, *, endpoint: str = "") -> None:
        self._keys = keys
        host = f"https://{bucket}.s3.{keys.region}.amazonaws.com"
        self._base = URL(endpoint.rstrip("/") or host)
        self._bucket = bucket
        self._root = f"{self._base.path.rstrip('/')}/{bucket}" if endpoint else ""
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Make the connection pool."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=256),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=60),
            auto_decompress=False,
            skip_auto_headers=("Content-Type", "User-Agent"),
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def check(self) -> None:
        """Return if the bucket is there; NotFound, S3Error."""
        await self._call("HEAD", "")

    async def head(self, key: str) -> S3Object:
        """Describe an object; NotFound."""
        _, headers = await self._call("HEAD", key)
        modified = parsedate_to_datetime(headers["Last-Modified"]).timestamp()
        return S3Object(key, int(headers["Content-Length"]), modified)

    async def get(self, key: str) -> bytes:
        """Return an object whole; NotFound."""
        return (await self._call("GET", key))[0]

    async def stream(self, key: str, first: int, length: int) -> AsyncIterator[bytes]:
        """Yield a part of an object; NotFound before the first block."""
        headers = {"Range": f"bytes={first}-{first + length - 1}"}
        async with self._send("GET", key, headers=headers, accept=(200, 206)) as response:
            try:
                async for block in response.content.iter_chunked(_BLOCK):
                    yield block
            except (aiohttp.ClientError, TimeoutError) as error:
                raise S3Error(f"reading {key}: {error!r}") from error

    async def put(self, key: str, data: bytes | bytearray) -> None:
        """Create or replace an object."""
        await self._call("PUT", key, data=data)

    async def delete(self, key: str) -> None:
        """Remove an object, if there is one."""
        await self._call("DELETE", key, accept=(200, 204, 404))

    async def copy(self, source: str, key: str) -> None:
        """Copy an object (up to 5 GiB) within the bucket; onto itself, its time becomes now."""
        headers = {"x-amz-copy-source": self._source(source)}
        if source == key:
            headers["x-amz-metadata-directive"] = "REPLACE"
        _expect(await self._call("PUT", key, headers=headers), "CopyObjectResult")

    async def list(self, prefix: str, after: str = "") -> AsyncIterator[S3Object]:
        """Yield the objects below a prefix, sorted by key."""
        token = ""
        while True:
            query = [("list-type", "2"), ("prefix", prefix), ("max-keys", str(_PAGE))]
            query += [("start-after", after)] if after else []
            query += [("continuation-token", token)] if token else []
            root = _expect(await self._call("GET", "", query=query), "ListBucketResult")
            for entry in root.iter(f"{_namespace(root)}Contents"):
                modified = datetime.fromisoformat(_text(entry, "LastModified"))
                yield S3Object(
                    _text(entry, "Key"),
                    int(_text(entry, "Size")),
                    modified.replace(tzinfo=modified.tzinfo or UTC).timestamp(),
                )
            token = _text(root, "NextContinuationToken")
            if _text(root, "IsTruncated") != "true" or not token:
                return

    async def begin_multipart(self, key: str) -> str:
        """Begin an object of several parts; return the identifier."""
        answer = await self._call("POST", key, query=[("uploads", "")])
        return _text(_expect(answer, "InitiateMultipartUploadResult"), "UploadId")

    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> str:
        """Send a part (numbered from 1); return its entity tag."""
        query = [("partNumber", str(number)), ("uploadId", upload)]
        _, headers = await self._call("PUT", key, query=query, data=data)
        return headers["ETag"]

    async def copy_part(self, key: str, upload: str, number: int, source: str) -> str:
        """Let another object become a part; return its entity tag."""
        query = [("partNumber", str(number)), ("uploadId", upload)]
        headers = {"x-amz-copy-source": self._source(source)}
        answer = await self._call("PUT", key, query=query, headers=headers)
        return _text(_expect(answer, "CopyPartResult"), "ETag")

    async def finish_multipart(self, key: str, upload: str, tags: Sequence[str]) -> None:
        """Put the parts together."""
        root = ET.Element("CompleteMultipartUpload")
        for number, tag in enumerate(tags, 1):
            part = ET.SubElement(root, "Part")
            ET.SubElement(part, "PartNumber").text = str(number)
            ET.SubElement(part, "ETag").text = tag
        answer = await self._call("POST", key, query=[("uploadId", upload)], data=ET.tostring(root))
        _expect(answer, "CompleteMultipartUploadResult")

    async def abort_multipart(self, key: str, upload: str) -> None:
        """Drop the parts."""
        await self._call("DELETE", key, query=[("uploadId", upload)], accept=(200, 204, 404))

    def _source(self, key: str) -> str:
        return encode_path(f"/{self._bucket}/{key}")

    async def _call(
        self, method: str, key: str, *, query: Query = (), data: bytes | bytearray = b"",
        headers: Mapping[str, str] | None = None, accept: Sequence[int] = (200,),
    ) -> tuple[bytes, Mapping[str, str]]:  # fmt: skip
        """Make a request whose answer is small, again if it may help; return body and headers."""
        for attempt in range(_ATTEMPTS):
            try:
                async with self._send(
                    method, key, query=query, data=data, headers=headers, accept=accept
                ) as response:
                    return await response.read(), response.headers
            except (aiohttp.ClientError, TimeoutError) as error:
                failure = S3Error(f"{method} {key}: {error!r}")
                if attempt + 1 == _ATTEMPTS:
                    raise failure from error
            except S3Error as error:
                failure = error
                if attempt + 1 == _ATTEMPTS or error.status not in _RETRIED:
                    raise
            log.info("trying again: %s", failure)
            await asyncio.sleep(_PAUSE_S * 2**attempt)
        raise AssertionError("at least one attempt is made")

    @asynccontextmanager
    async def _send(
        self, method: str, key: str, *, query: Query = (), data: bytes | bytearray = b"",
        headers: Mapping[str, str] | None = None, accept: Sequence[int] = (200,),
    ) -> AsyncIterator[aiohttp.ClientResponse]:  # fmt: skip
        if self._session is None:
            raise RuntimeError("the client is not open")
        path = f"{self._root}/{key}"
        sent = signed_headers(
            self._keys, method, self._host(), path, query, headers,
            payload=await self._payload(data),
        )  # fmt: skip
        target = f"{self._base.origin()}{encode_path(path)}"
        if query:
            target += f"?{encode_query(query)}"
        # A stream: aiohttp would rather not be given megabytes at once.
        body = io.BytesIO(data) if data else (b"" if method in ("PUT", "POST") else None)
        try:
            response = await self._session.request(
                method, URL(target, encoded=True), headers=sent, data=body, allow_redirects=False
            )
        except (aiohttp.ClientConnectionError, OSError) as error:
            raise S3Error(f"{method} {self._base.origin()}: {error}", 503) from error
        try:
            if response.status not in accept:
                raise await _failure(response, method, key)
            yield response
        finally:
            response.release()

    def _host(self) -> str:
        host = self._base.host or ""
        host = f"[{host}]" if ":" in host else host
        return host if self._base.is_default_port() else f"{host}:{self._base.port}"

    async def _payload(self, data: bytes | bytearray) -> str:
        if self._base.scheme == "https":
            return UNSIGNED
        if len(data) <= _HASH_IN_PLACE:
            return hashlib.sha256(data).hexdigest()
        return (await asyncio.to_thread(hashlib.sha256, data)).hexdigest()


async def _failure(response: aiohttp.ClientResponse, method: str, key: str) -> Exception:
    if response.status == 404 and method in ("GET", "HEAD", "PUT"):
        return NotFound(f"object {key} does not exist")
    try:
        root = ET.fromstring(await response.read())
        reason = f"{_text(root, 'Code')}: {_text(root, 'Message')}"
    except ET.ParseError:
        reason = response.reason or ""
    return S3Error(f"{method} {key}: {response.status} {reason}", response.status)


def _expect(answer: tuple[bytes, Mapping[str, str]], name: str) -> ET.Element:
    """Return the answer's document; S3 reports some failures with status 200."""
    try:
        root = ET.fromstring(answer[0])
    except ET.ParseError as error:
        raise S3Error(f"unintelligible answer, {name} was expected: {error}") from error
    if root.tag.removeprefix(_namespace(root)) != name:
        raise S3Error(f"{_text(root, 'Code')}: {_text(root, 'Message')}", 500)
    return root


def _namespace(root: ET.Element) -> str:
    return root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(f"{_namespace(element)}{name}") or ""
