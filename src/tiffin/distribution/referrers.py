"""Which manifests refer to a manifest as their subject (spec, Listing Referrers)."""

from collections.abc import AsyncIterator

from tiffin.distribution import layout
from tiffin.distribution.documents import Document
from tiffin.distribution.storage.driver import StorageDriver
from tiffin.errors import NotFound
from tiffin.spec.descriptor import Descriptor, decode_object, encode_object
from tiffin.spec.digest import Digest


class Referrers:
    """Descriptors by subject. They are written and removed along with their manifests."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver

    async def add(self, repository: str, document: Document, digest: Digest, size: int) -> None:
        """Note that the manifest `digest` refers to its subject."""
        assert document.subject is not None
        descriptor = Descriptor(
            document.media_type, digest, size,
            annotations=document.annotations, artifact_type=document.artifact_type,
        )  # fmt: skip
        await self._driver.put(
            layout.referrer(repository, document.subject, digest),
            encode_object(descriptor.to_json()),
        )

    async def remove(self, repository: str, subject: Digest, digest: Digest) -> None:
        """Forget that `digest` refers to `subject`."""
        await self._driver.delete(layout.referrer(repository, subject, digest))

    async def of(
        self, repository: str, subject: Digest, *, after: Digest | None = None
    ) -> AsyncIterator[Descriptor]:
        """Yield the descriptors of all that refers to `subject`, those after `after` only."""
        start = layout.referrer(repository, subject, after) if after else ""
        async for info in self._driver.list(layout.referrers(repository, subject), after=start):
            try:
                data = await self._driver.get(info.key)
            except NotFound:
                continue  # deleted since it was listed
            yield Descriptor.from_json(decode_object(data, "referrer"))
