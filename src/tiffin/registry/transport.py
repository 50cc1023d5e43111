"""HTTP to one registry: redirects, retries, and failures in words that name the request.

Rules: credentials never follow a redirect to another origin; bodies are never decompressed behind
our back, because digests are of the bytes as stored; every response is closed.
"""

# Annotations that stay text keep aiohttp's client out of an idle daemon.
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
from yarl import URL

from tiffin.registry.endpoints import Endpoint
from tiffin.registry.errors import RegistryError, Unreachable, refusal

log = logging.getLogger(__name__)

READ_SIZE = 1 << 20
MAX_DOCUMENT = 4 << 20
"""Bytes of a manifest or error body: the limit that the distribution spec names."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently: the n-th pause is `base_s * 2**n`, at most `limit_s`."""

    attempts: int = 5
    base_s: float = 0.25
    limit_s: float = 15.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def pause(self, attempt: int, wanted_s: float = 0.0) -> None:
        """Wait before attempt number `attempt + 1`."""
        await self.sleep(min(max(self.base_s * 2**attempt, wanted_s), self.limit_s))


class Transport:
    """A connection pool to one endpoint; use it as an async context manager."""

    def __init__(self, endpoint: Endpoint, *, user_agent: str, retry: Retry | None = None) -> None:
        self.endpoint = endpoint
        self.retry = retry or Retry()
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(self.endpoint.ssl_context)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, limit=16),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60),
            auto_decompress=False,
            read_bufsize=READ_SIZE,
            max_line_size=1 << 16,
            max_field_size=1 << 16,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def send(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        data: Any = None,  # noqa: ANN401  # aiohttp's own union
        accept: Collection[int] = (200,),
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and follow redirects; RegistryError for a status not in `accept`."""
        sent = dict(headers or {})
        target = url
        for _ in range(_MAX_REDIRECTS):
            response = await self._send_once(method, target, sent, data)
            try:
                location = response.headers.get("Location")
                if response.status in _REDIRECTS and location and response.status not in accept:
                    following = target.join(URL(location, encoded=True))
                    if following.scheme not in ("http", "https"):
                        raise RegistryError(f'{_verb(method)} "{url}": unsupported redirect')
                    if following.origin() != target.origin():
                        sent.pop("Authorization", None)
                    target = following
                    continue
                if response.status not in accept:
                    await _refuse(response, method, url)
                yield response
                return
            finally:
                response.close()
        raise RegistryError(f'{_verb(method)} "{url}": stopped after {_MAX_REDIRECTS} redirects')

    async def document(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        accept: Collection[int] = (200,),
        limit: int = MAX_DOCUMENT,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send a request whose answer is small, retrying what may pass; return answer and body."""
        for attempt in range(self.retry.attempts):
            try:
                async with self.send(
                    method, url, headers=headers, data=data, accept=accept
                ) as response:
                    return response, await _read(response, limit, url)
            except RegistryError as error:
                if attempt + 1 == self.retry.attempts or not may_pass(error):
                    raise
                log.info("retrying %s %s: %s", method, url, error)
            await self.retry.pause(attempt)
        raise AssertionError("at least one attempt is made")

    async def _send_once(
        self, method: str, url: URL, headers: Mapping[str, str], data: object
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the transport is not open")
        if self._session.closed:
            # Whoever shared this transport's work goes on with a transport of its own.
            raise RegistryError(f'{_verb(method)} "{url}": the transport was closed')
        try:
            return await self._session.request(
                method,
                url,
                headers={**self._headers, **headers},
                data=data,
                allow_redirects=False,
                proxy=_proxy(url),
            )
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(method, url, error) from error


async def chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the body as it comes; Unreachable where the connection breaks."""
    try:
        async for chunk in response.content.iter_chunked(READ_SIZE):
            yield chunk
    except (aiohttp.ClientError, OSError) as error:
        raise unreachable(response.method, response.url, error) from error


def may_pass(error: RegistryError) -> bool:
    """Tell whether the same request may succeed a moment later."""
    if isinstance(error, Unreachable):
        return not isinstance(error.__cause__, aiohttp.ClientConnectorError)
    return error.status in _RETRIED


def unreachable(method: str, url: URL, error: BaseException) -> Unreachable:
    """Describe a request that got no answer, as Go's clients (and their users) word it."""
    return Unreachable(f'{_verb(method)} "{url}": {_reason(url, error)}')


def _reason(url: URL, error: BaseException) -> str:
    import ssl  # as the client half of aiohttp, loaded by the first request

    port = url.port or 443
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        cause: BaseException | None = error.os_error
        plain = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
        if isinstance(cause, ssl.SSLError) and cause.reason in plain:
            return "http: server gave HTTP response to HTTPS client"
        return f"tls: {cause}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"dial tcp: lookup {url.host}: no such host"
    if isinstance(error, aiohttp.ClientConnectorError):
        strerror = (error.os_error.strerror or str(error.os_error)).lower()
        if isinstance(error.os_error, ConnectionRefusedError):
            strerror = "connection refused"
        return f"dial tcp {url.host}:{port}: connect: {strerror}"
    if isinstance(error, TimeoutError):
        return "net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "unexpected EOF"
    return str(error) or type(error).__name__


async def _refuse(response: aiohttp.ClientResponse, method: str, url: URL) -> None:
    body = b"" if method == "HEAD" else await _read(response, MAX_DOCUMENT, url)
    found = refusal(response.status, body)
    text = str(found)
    if found.code == "UNKNOWN":
        text = f'{_verb(method)} "{url}": {text}'
    raise RegistryError(text, code=found.code, status=response.status)


async def _read(response: aiohttp.ClientResponse, limit: int, url: URL) -> bytes:
    data = bytearray()
    async for chunk in chunks(response):
        data += chunk
        if len(data) > limit:
            raise RegistryError(f"{url}: the answer is larger than {limit} bytes")
    return bytes(data)


def _proxy(url: URL) -> str | None:
    """Return the proxy that the environment names for `url` (never one for loopback)."""
    from urllib.request import getproxies, proxy_bypass  # a megabyte, for the first request

    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    host = url.host or ""
    if not proxy or host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    return None if proxy_bypass(host) else proxy


def _verb(method: str) -> str:
    return method.capitalize()
