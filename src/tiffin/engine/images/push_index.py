"""Pushing an index: blobs, then manifests, then indexes from the inside out, each as it is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tiffin.engine.images.access import together
from tiffin.engine.images.context import ImageContext
from tiffin.images.index import indexes, is_whole, members, walk
from tiffin.images.lease import Lease
from tiffin.images.manifests import has_blob, read_document
from tiffin.registry.client import RegistryClient
from tiffin.registry.errors import RegistryError
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import Digest

_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class IndexPush:
    """To one repository; `upload` brings one blob there unless it has it."""

    context: ImageContext
    client: RegistryClient
    repository: str
    upload: Callable[[Descriptor], Awaitable[None]]

    async def can_be_whole(self, target: Descriptor, lease: Lease) -> bool:
        """Tell whether every manifest of the index is here or in the repository; hold those here.

        What another platform consists of need not have been pulled to be pushed where it came from.
        """
        content = self.context.store.content
        names = await self.context.run(lambda: [each.digest for each in walk(content, target)])
        await self.context.run(lease.hold, *names)
        for entry in await self.context.run(indexes, content, target):
            if not has_blob(content, entry.digest):
                return False
        missing = [
            member.descriptor
            for member in await self.context.run(members, content, target)
            if not is_whole(content, member.descriptor)
        ]
        for manifest in missing:
            if not await self._is_there(manifest):
                return False
        return True

    async def _is_there(self, manifest: Descriptor) -> bool:
        try:
            await self.client.resolve(self.repository, manifest.digest)
        except RegistryError as error:
            if error.status != _NOT_FOUND:
                raise
            return False
        return True

    async def run(self, target: Descriptor) -> bytes:
        """Push all that the index names; return the index's own bytes, which are pushed last."""
        content = self.context.store.content
        manifests = [
            member.descriptor
            for member in await self.context.run(members, content, target)
            if is_whole(content, member.descriptor)
        ]
        blobs: dict[Digest, Descriptor] = {}
        for manifest in manifests:
            parts = await self.context.run(list, walk(content, manifest))
            blobs |= {each.digest: each for each in parts[1:]}
        await together([self._upload(blob) for blob in blobs.values()])
        nested = (await self.context.run(indexes, content, target))[1:]
        for document in (*manifests, *reversed(nested)):
            data = await self.context.run(read_document, content, document.digest)
            await self.client.put_manifest(self.repository, document.digest, document, data)
        return await self.context.run(read_document, content, target.digest)

    async def _upload(self, blob: Descriptor) -> None:
        await self.upload(blob)
