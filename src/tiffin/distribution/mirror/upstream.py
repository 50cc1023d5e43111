"""The registry behind a cache, with its failures sorted: gone for now, or a definite no."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from tiffin.distribution.config import Mirror
from tiffin.distribution.errors import Code, DistributionError
from tiffin.errors import InvalidArgument
from tiffin.registry.client import BlobBody, RegistryClient, RemoteManifest
from tiffin.registry.credentials import Credentials
from tiffin.registry.endpoints import Endpoint
from tiffin.registry.errors import RegistryError
from tiffin.registry.transport import Retry
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import Digest

_PATIENCE_S = 15.0
_REST_S = 20.0
"""After a failure, upstream is left alone for so long while there is something to serve."""
T = TypeVar("T")


class UpstreamDown(DistributionError):
    """No usable answer: unreachable, overloaded, or it limits our rate. What is cached may serve."""


class Upstream:
    """One registry, with one user's credentials."""

    def __init__(self, mirror: Mirror, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.url = mirror.upstream
        self._client = RegistryClient(
            Endpoint(mirror.upstream, verify=not mirror.insecure),
            Credentials(mirror.username, mirror.password),
            user_agent="tiffin-registry",
            retry=Retry(attempts=2, base_s=0.2, limit_s=1.0),
        )
        self._clock = clock
        self._rests_until = 0.0

    async def open(self) -> None:
        """Make the connection pool."""
        await self._client.__aenter__()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.__aexit__(None, None, None)

    @property
    def rests(self) -> bool:
        """Whether it failed a moment ago, so that asking again is not worth the wait."""
        return self._clock() < self._rests_until

    async def resolve(self, repository: str, tag: str) -> Digest | None:
        """Return what a tag points to, None if the registry does not say; MANIFEST_UNKNOWN."""
        return await self._ask(self._client.resolve(repository, tag), Code.MANIFEST_UNKNOWN)

    async def manifest(self, repository: str, reference: str) -> RemoteManifest:
        """Fetch a manifest; MANIFEST_UNKNOWN."""
        return await self._ask(self._client.manifest(repository, reference), Code.MANIFEST_UNKNOWN)

    async def blob_size(self, repository: str, digest: Digest) -> int:
        """Return a blob's length; BLOB_UNKNOWN."""
        return await self._ask(self._client.blob_size(repository, digest), Code.BLOB_UNKNOWN)

    async def tags(self, repository: str) -> list[str]:
        """Return all tags; NAME_UNKNOWN."""
        return await self._ask(self._client.tags(repository), Code.NAME_UNKNOWN)

    async def referrers(self, repository: str, subject: Digest) -> list[Descriptor]:
        """Return what refers to a manifest; MANIFEST_UNKNOWN also where it cannot be asked."""
        return await self._ask(self._client.referrers(repository, subject), Code.MANIFEST_UNKNOWN)

    @asynccontextmanager
    async def blob(self, repository: str, digest: Digest, offset: int) -> AsyncIterator[BlobBody]:
        """Open a blob for reading from `offset`; BLOB_UNKNOWN, UpstreamDown."""
        try:
            async with self._client.blob(repository, digest, offset) as body:
                yield body
        except RegistryError as error:
            raise self._sorted(error, Code.BLOB_UNKNOWN) from error

    async def _ask(self, question: Awaitable[T], unknown: Code) -> T:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await question
        except TimeoutError as error:
            self._rests_until = self._clock() + _REST_S
            message = f"{self.url} does not answer"
            raise UpstreamDown(Code.UNAVAILABLE, message, status=504) from error
        except RegistryError as error:
            raise self._sorted(error, unknown) from error
        except InvalidArgument as error:
            message = f"{self.url}: {error.message}"
            raise DistributionError(Code.UNKNOWN, message, status=502) from error

    def _sorted(self, error: RegistryError, unknown: Code) -> DistributionError:
        if error.status == 404:
            return DistributionError(unknown)
        if error.status in (401, 403):
            return DistributionError(Code.DENIED, f"{self.url}: {error.message}")
        if error.status and error.status != 429 and error.status < 500:
            return DistributionError(Code.UNKNOWN, f"{self.url}: {error.message}", status=502)
        self._rests_until = self._clock() + _REST_S
        if error.status == 429:
            headers = {"Retry-After": str(int(_REST_S))}
            return UpstreamDown(Code.TOOMANYREQUESTS, error.message, headers=headers)
        return UpstreamDown(Code.UNAVAILABLE, f"{self.url}: {error.message}", status=502)
