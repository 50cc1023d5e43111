"""Single manifests and blobs of a registry, for clients that put lists together themselves."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tiffin.engine.images.access import RegistryAccess, explained
from tiffin.errors import InvalidArgument, NotFound
from tiffin.registry.client import RegistryClient, RemoteManifest
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.errors import RegistryError
from tiffin.spec.descriptor import INDEXES, MANIFESTS, Descriptor
from tiffin.spec.digest import Digest, digest_bytes
from tiffin.spec.image import parse_index, parse_manifest
from tiffin.spec.reference import Reference

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Documents:
    """Reads and writes them. `insecure` lets a registry be spoken to in the clear this once."""

    access: RegistryAccess
    credentials: Credentials = ANONYMOUS
    insecure: bool = False

    async def get(self, reference: Reference) -> RemoteManifest:
        """Return a manifest or index byte for byte; NotFound, RegistryError."""

        async def attempt(client: RegistryClient) -> RemoteManifest:
            return await client.manifest(reference.path, reference.digest or reference.tag)

        try:
            return await self._each(reference, attempt)
        except RegistryError as error:
            raise explained(error, reference) from error

    async def put(self, reference: Reference, media_type: str, data: bytes) -> Digest:
        """Store a manifest or index under a tag or its digest; InvalidArgument, RegistryError."""
        digest = digest_bytes(data)
        if media_type in INDEXES:
            parse_index(data)
        elif media_type in MANIFESTS:
            parse_manifest(data)
        else:
            raise InvalidArgument(f"unsupported manifest media type {media_type!r}")
        if reference.digest and reference.digest != digest:
            raise InvalidArgument(f"the manifest's digest is {digest}, not {reference.digest}")

        async def attempt(client: RegistryClient) -> None:
            name = reference.digest or reference.tag
            descriptor = Descriptor(media_type, digest, len(data))
            await client.put_manifest(reference.path, name, descriptor, data)

        await self._each(reference, attempt)
        return digest

    async def mount(self, repository: Reference, digest: Digest, source: Reference) -> None:
        """Make a blob of another repository of the same registry one of this; NotFound."""
        if source.domain != repository.domain:
            raise InvalidArgument(f"cannot mount from {source.domain} to {repository.domain}")

        async def attempt(client: RegistryClient) -> None:
            if await client.has_blob(repository.path, digest):
                return
            if await client.mount(repository.path, digest, source.path) is not None:
                raise NotFound(f"{digest} cannot be mounted from {source.repository}")

        await self._each(repository, attempt)

    async def _each(
        self, reference: Reference, action: Callable[[RegistryClient], Awaitable[T]]
    ) -> T:
        return await self.access.each(
            reference.domain, self.credentials, action, insecure=self.insecure
        )
