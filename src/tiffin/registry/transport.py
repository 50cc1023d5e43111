"""HTTP to one registry: redirects, retries, and failures in words that name the request.

Rules: credentials never follow a redirect to another origin, and bodies that we send follow none at
all; documents are never fetched in the clear after TLS; bodies are never decompressed behind our
back, because digests are of the bytes as stored; nothing is waited for without end; every response
is closed.
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
from tiffin.registry.headers import retry_after_s
from tiffin.registry.reach import Guard, GuardedResolver

log = logging.getLogger(__name__)

READ_SIZE = 1 << 20
MAX_DOCUMENT = 4 << 20
"""Bytes of a manifest or error body: the limit that the distribution spec names."""
_TOO_SLOW = "the registry sends too slowly"
_MAX_REFUSAL = 64 << 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 10
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently: the n-th pause is `base_s * 2**n`, at most `limit_s`.

    A registry that asks for more is granted up to `longest_s`; one that asks for still more is not
    asked again.
    """

    attempts: int = 5
    base_s: float = 0.25
    limit_s: float = 15.0
    longest_s: float = 120.0
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def pause(self, attempt: int, wanted_s: float = 0.0) -> None:
        """Wait before attempt number `attempt + 1`."""
        own_s = min(self.base_s * 2**attempt, self.limit_s)
        await self.sleep(max(own_s, min(wanted_s, self.longest_s)))


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server is waited for, seconds.

    A body that brings less than `least_bytes` in `window_s` has stalled, however it drips; a whole
    document must be here after `document_s`.
    """

    connect_s: float = 30.0
    read_s: float = 60.0
    window_s: float = 60.0
    least_bytes: int = 16 << 10
    document_s: float = 120.0
    finish_s: float = 600.0
    """For the answer to an upload that is complete: large blobs are hashed and copied meanwhile."""


class Transport:
    """A connection pool to one endpoint; use it as an async context manager."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        user_agent: str,
        retry: Retry | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.retry = retry or Retry()
        self.patience = patience or Patience()
        self._origin = parse_url(endpoint.url, "registry").origin()
        self._guard = Guard(self._origin.host or "", _is_proxy)
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(self.endpoint.ssl_context)
        patience = self.patience
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=context, limit=16, resolver=GuardedResolver(self._guard)
            ),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=patience.connect_s, sock_read=patience.read_s
            ),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
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
        verified: bool = False,
        read_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send one request and follow redirects; RegistryError for a status not in `accept`.

        `verified` tells that the caller compares the body with a digest, so that it may come from
        anywhere. `read_s` replaces the patience for the answer.
        """
        sent = dict(headers or {})
        target = url
        for _ in range(_MAX_REDIRECTS):
            response = await self._send_once(method, target, sent, data, read_s)
            try:
                location = response.headers.get("Location")
                if response.status in _REDIRECTS and location and response.status not in accept:
                    following = target.join(parse_url(location, "redirect"))
                    self._check_redirect(
                        f'{_verb(method)} "{url}"', target, following,
                        has_body=bool(data), verified=verified,
                    )  # fmt: skip
                    if following.origin() != target.origin():
                        sent.pop("Authorization", None)
                    target = following
                    continue
                if response.status not in accept:
                    await self._refuse(response, method, url)
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
        read_s: float | None = None,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """Send a request whose answer is small, retrying what may pass; return answer and body."""
        for attempt in range(self.retry.attempts):
            try:
                return await self._document_once(method, url, headers, data, accept, limit, read_s)
            except RegistryError as error:
                if attempt + 1 == self.retry.attempts or not may_pass(error, self.retry):
                    raise
                log.info("retrying %s %s: %s", method, url, error)
                wanted_s = error.retry_after_s
            await self.retry.pause(attempt, wanted_s)
        raise AssertionError("at least one attempt is made")

    async def _document_once(
        self, method: str, url: URL, headers: Mapping[str, str] | None, data: bytes | None,
        accept: Collection[int], limit: int, read_s: float | None,
    ) -> tuple[aiohttp.ClientResponse, bytes]:  # fmt: skip
        try:
            async with (
                asyncio.timeout(max(self.patience.document_s, read_s or 0)),
                self.send(
                    method, url, headers=headers, data=data, accept=accept, read_s=read_s
                ) as response,
            ):
                return response, await self._read(response, limit, url)
        except TimeoutError as error:
            raise unreachable(method, url, error) from error

    def _check_redirect(
        self, request: str, source: URL, target: URL, *, has_body: bool, verified: bool
    ) -> None:
        if target.scheme not in ("http", "https") or not target.host:
            raise RegistryError(f"{request}: unsupported redirect")
        if has_body and target.origin() != source.origin():
            raise RegistryError(
                f"{request}: refused to send the request's body on to {target.host}"
            )
        is_downgrade = source.scheme == "https" and target.scheme == "http"
        if is_downgrade and not verified and self.endpoint.verify:
            raise RegistryError(f"{request}: refused a redirect from https to http ({target.host})")

    async def _send_once(
        self, method: str, url: URL, headers: Mapping[str, str], data: object, read_s: float | None
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the transport is not open")
        if self._session.closed:
            # Whoever shared this transport's work goes on with a transport of its own.
            raise RegistryError(f'{_verb(method)} "{url}": the transport was closed')
        options: dict[str, Any] = {}
        if read_s is not None:
            options["timeout"] = aiohttp.ClientTimeout(
                total=None, sock_connect=self.patience.connect_s, sock_read=read_s
            )
        try:
            self._guard.check(url.host or "")
            return await self._session.request(
                method,
                url,
                headers={**self._headers, **headers},
                data=data,
                allow_redirects=False,
                proxy=_proxy(url),
                **options,
            )
        except PermissionError as error:
            raise RegistryError(f'{_verb(method)} "{url}": {error}') from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error.__cause__, PermissionError):
                raise RegistryError(f'{_verb(method)} "{url}": {error.__cause__}') from error
            raise unreachable(method, url, error) from error
        except ValueError as error:
            raise RegistryError(f'{_verb(method)} "{url}": {error}') from error

    async def chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """Yield the body as it comes; Unreachable where the connection breaks or stalls."""
        clock = asyncio.get_running_loop().time
        begun, received = clock(), 0
        try:
            async for chunk in response.content.iter_chunked(READ_SIZE):
                received += len(chunk)
                yield chunk
                if received >= self.patience.least_bytes:
                    begun, received = clock(), 0
                elif clock() - begun > self.patience.window_s:
                    raise TimeoutError(_TOO_SLOW)
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(response.method, response.url, error) from error

    async def _refuse(self, response: aiohttp.ClientResponse, method: str, url: URL) -> None:
        body = b"" if method == "HEAD" else await self._read_some(response)
        found = refusal(response.status, body)
        text = str(found)
        if found.code == "UNKNOWN":
            text = f'{_verb(method)} "{url}": {text}'
        raise RegistryError(
            text,
            code=found.code,
            status=response.status,
            retry_after_s=retry_after_s(response.headers.get("Retry-After", "")),
        )

    async def _read_some(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the beginning of a body that nobody depends on."""
        data = bytearray()
        try:
            async with asyncio.timeout(self.patience.read_s):
                async for chunk in self.chunks(response):
                    data += chunk
                    if len(data) > _MAX_REFUSAL:
                        break
        except (TimeoutError, Unreachable):
            log.debug("%s: the explanation of status %d broke off", response.url, response.status)
        return bytes(data[:_MAX_REFUSAL])

    async def _read(self, response: aiohttp.ClientResponse, limit: int, url: URL) -> bytes:
        if (response.content_length or 0) > limit and response.method != "HEAD":
            raise RegistryError(f"{url}: the answer is larger than {limit} bytes")
        data = bytearray()
        async for chunk in self.chunks(response):
            data += chunk
            if len(data) > limit:
                raise RegistryError(f"{url}: the answer is larger than {limit} bytes")
        return bytes(data)


def parse_url(text: str, what: str) -> URL:
    """Return what a registry (or its configuration) calls a URL; RegistryError."""
    try:
        return URL(text, encoded=True)
    except ValueError as error:
        raise RegistryError(f"invalid {what} URL {text[:200]!r}: {error}") from error


def may_pass(error: RegistryError, retry: Retry | None = None) -> bool:
    """Tell whether the same request may succeed a moment later (that `retry` would wait for)."""
    if isinstance(error, Unreachable):
        return not isinstance(error.__cause__, aiohttp.ClientConnectorError)
    if retry is not None and error.retry_after_s > retry.longest_s:
        return False
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
        if str(error) == _TOO_SLOW:
            return _TOO_SLOW
        return "net/http: request canceled (Client.Timeout exceeded while awaiting headers)"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "unexpected EOF"
    return str(error) or type(error).__name__


def _proxy(url: URL) -> str | None:
    """Return the proxy that the environment names for `url` (never one for loopback)."""
    from urllib.request import getproxies, proxy_bypass  # a megabyte, for the first request

    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    host = url.host or ""
    if not proxy or host == "localhost" or host.startswith("127.") or host == "::1":
        return None
    return None if proxy_bypass(host) else proxy


def _is_proxy(host: str) -> bool:
    """Tell whether the environment names `host` as a proxy."""
    from urllib.request import getproxies

    return any(URL(proxy).host == host for proxy in getproxies().values() if "://" in proxy)


def _verb(method: str) -> str:
    return method.capitalize()
