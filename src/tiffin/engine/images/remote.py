"""What registries are asked besides pulls and pushes: inspect, log in, search."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

from tiffin.api.filters import Filters
from tiffin.api.types.images import AuthRequest, AuthResponse, DistributionInspect
from tiffin.engine.images.access import RegistryAccess, explained
from tiffin.engine.images.manifests import descriptor, platform
from tiffin.errors import InvalidArgument, Unauthorized, Unimplemented
from tiffin.registry.client import RegistryClient
from tiffin.registry.credentials import ANONYMOUS, Credentials, host_of
from tiffin.registry.endpoints import DEFAULT_HOST, Endpoint
from tiffin.registry.errors import RegistryError
from tiffin.registry.transport import Transport
from tiffin.spec.descriptor import INDEXES
from tiffin.spec.image import parse_config, parse_index, parse_manifest
from tiffin.spec.platform import Platform
from tiffin.spec.reference import DEFAULT_DOMAIN, Reference

SEARCH_FILTERS = frozenset(("is-official", "is-automated", "stars"))
_INDEX = "index.docker.io"
_MAX_RESULTS = 100
_MAX_CONFIG = 8 << 20


@dataclass(frozen=True, slots=True)
class Remote:
    """Asks registries."""

    access: RegistryAccess

    async def inspect(
        self, reference: Reference, credentials: Credentials = ANONYMOUS, *, insecure: bool = False
    ) -> DistributionInspect:
        """Describe what a registry has under a name; NotFound, Unauthorized, RegistryError."""

        async def attempt(client: RegistryClient) -> DistributionInspect:
            remote = await client.manifest(reference.path, reference.digest or reference.tag)
            return DistributionInspect(
                descriptor=descriptor(remote.descriptor),
                platforms=[
                    platform(each)
                    for each in await _platforms(
                        client, reference.path, remote.descriptor.media_type, remote.data
                    )
                ],
            )

        try:
            return await self.access.each(
                reference.domain, credentials, attempt, mirrors=True, insecure=insecure
            )
        except RegistryError as error:
            if error.status == 401 or error.code == "DENIED":
                raise Unauthorized(str(error)) from error
            raise explained(error, reference) from error

    async def login(self, request: AuthRequest) -> AuthResponse:
        """Check credentials; Unauthorized with the registry's reason."""
        domain = host_of(request.serveraddress) if request.serveraddress else DEFAULT_DOMAIN
        credentials = Credentials.from_json(
            {
                "username": request.username,
                "password": request.password,
                "auth": request.auth,
                "identitytoken": request.identitytoken,
                "registrytoken": request.registrytoken,
            }
        )

        async def attempt(client: RegistryClient) -> str:
            return await client.authorizer.login()

        try:
            token = await self.access.each(domain, credentials, attempt)
        except RegistryError as error:
            if error.status in (401, 403):
                host = DEFAULT_HOST if domain == DEFAULT_DOMAIN else domain
                raise Unauthorized(f'Get "https://{host}/v2/": {error}') from error
            raise
        return AuthResponse(identity_token=token, status="Login Succeeded")

    async def search(self, term: str, limit: int, filters: Filters) -> list[Mapping[str, Any]]:
        """Ask an index for repositories; Unimplemented with the reason if there is no index."""
        filters.validate(SEARCH_FILTERS)
        if not 0 <= limit <= _MAX_RESULTS:
            raise InvalidArgument(f"invalid limit {limit}: must be between 1 and {_MAX_RESULTS}")
        first, slash, rest = term.partition("/")
        is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
        host, query = (first, rest) if is_host else (_INDEX, term)
        url = URL(f"https://{host}/v1/search").with_query(q=query, n=limit or 25)
        try:
            async with Transport(
                Endpoint(f"https://{host}"), user_agent=self.access.user_agent,
                retry=self.access.retry,
            ) as transport:  # fmt: skip
                _, data = await transport.document("GET", url)
            results = json.loads(data).get("results") or []
        except RegistryError as error:
            raise Unimplemented(f"no index to search at {host}: {error}") from error
        except (ValueError, AttributeError, RecursionError) as error:
            raise Unimplemented(f"no index to search at {host}: malformed answer") from error
        return [item for item in map(_result, results) if item and _passes(item, filters)]


async def _platforms(
    client: RegistryClient, repository: str, media_type: str, data: bytes
) -> list[Platform]:
    if media_type in INDEXES:
        entries = parse_index(data).manifests
        return [entry.platform for entry in entries if entry.platform is not None]
    manifest = parse_manifest(data)
    body = bytearray()
    async with client.blob(repository, manifest.config.digest) as blob:
        async for chunk in blob.chunks:
            body += chunk
            if len(body) > _MAX_CONFIG:
                raise InvalidArgument(f"{manifest.config.digest} is too large for a config")
    return [parse_config(bytes(body)).platform]


def _result(raw: object) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        return {}
    return {
        "star_count": int(raw.get("star_count") or 0),
        "is_official": bool(raw.get("is_official")),
        "name": str(raw.get("name") or ""),
        "is_automated": bool(raw.get("is_automated")),
        "description": str(raw.get("description") or ""),
    }


def _passes(item: Mapping[str, Any], filters: Filters) -> bool:
    for key, member in (("is-official", "is_official"), ("is-automated", "is_automated")):
        if key in filters and filters.boolean(key) is not item[member]:
            return False
    stars = filters.get("stars")
    if not all(text.isdecimal() for text in stars):
        raise InvalidArgument(f"invalid filter 'stars={stars}'")
    return all(item["star_count"] >= int(text) for text in stars)
