"""What registries are asked besides pulls and pushes: inspect, log in."""

from dataclasses import dataclass

from tiffin.api.types.images import AuthRequest, AuthResponse, DistributionInspect
from tiffin.engine.images.access import RegistryAccess, explained
from tiffin.engine.images.manifests import descriptor, platform
from tiffin.errors import InvalidArgument, Unauthorized
from tiffin.registry.client import RegistryClient
from tiffin.registry.credentials import ANONYMOUS, Credentials, host_of
from tiffin.registry.endpoints import DEFAULT_HOST
from tiffin.registry.errors import RegistryError
from tiffin.spec.descriptor import INDEXES
from tiffin.spec.image import parse_config, parse_index, parse_manifest
from tiffin.spec.platform import Platform
from tiffin.spec.reference import DEFAULT_DOMAIN, Reference

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
