"""Manifests and tags of repositories (spec, Pushing and Pulling manifests, Content Management)."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from tiffin.distribution import documents, layout
from tiffin.distribution.blobs import Blobs, digest_as, verify
from tiffin.distribution.documents import Document
from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.locks import Locks
from tiffin.distribution.names import TagOrDigest
from tiffin.distribution.referrers import Referrers
from tiffin.distribution.storage.driver import StorageDriver
from tiffin.errors import NotFound
from tiffin.spec.digest import Digest, parse_digest


@dataclass(frozen=True, slots=True)
class ManifestInfo:
    """One manifest of a repository; `size` in bytes."""

    digest: Digest
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Condition:
    """`If-Match` and `If-None-Match` of a push: digests, or `*` for any; empty for no condition."""

    match: tuple[str, ...] = ()
    none_match: tuple[str, ...] = ()

    def check(self, current: Digest | None) -> None:
        """Compare with what there is; 412."""
        here = {"*", str(current)} if current else set()
        if (self.match and not here.intersection(self.match)) or here.intersection(self.none_match):
            message = "the manifest is not in the state that the request names"
            raise DistributionError(Code.MANIFEST_INVALID, message, status=412)


NO_CONDITION = Condition()


class Manifests:
    """Manifests by digest and tag. `check_references`: refuse those that refer to what is missing."""

    def __init__(
        self, driver: StorageDriver, blobs: Blobs, *, check_references: bool = True
    ) -> None:
        self._driver = driver
        self._blobs = blobs
        self._check_references = check_references
        self._locks = Locks()
        self.referrers = Referrers(driver)

    async def info(self, repository: str, reference: TagOrDigest) -> ManifestInfo:
        """Describe a manifest; MANIFEST_UNKNOWN."""
        digest = reference.digest or await self.resolve(repository, reference.tag)
        try:
            raw = json.loads(await self._driver.get(layout.manifest(repository, digest)))
        except NotFound:
            raise _unknown(repository, reference) from None
        return ManifestInfo(digest, raw["mediaType"], raw["size"])

    async def content(self, digest: Digest) -> bytes:
        """Return the bytes of a manifest that `info` has described; MANIFEST_UNKNOWN."""
        try:
            return await self._blobs.content(digest)
        except NotFound:
            raise DistributionError(Code.MANIFEST_UNKNOWN, detail={"digest": digest}) from None

    async def resolve(self, repository: str, tag: str) -> Digest:
        """Return what a tag points to; MANIFEST_UNKNOWN."""
        try:
            return parse_digest((await self._driver.get(layout.tag(repository, tag))).decode())
        except NotFound:
            raise _unknown(repository, TagOrDigest(tag)) from None

    async def put(
        self,
        repository: str,
        reference: TagOrDigest,
        content_type: str,
        data: bytes,
        *,
        tags: Sequence[str] = (),
        condition: Condition = NO_CONDITION,
        trusted: bool = False,
    ) -> tuple[Digest, Document]:
        """Store a manifest, and tags that point to it; return its digest and what it says.

        MANIFEST_INVALID, DIGEST_INVALID, MANIFEST_BLOB_UNKNOWN; 412 if `condition` is not met.
        A `trusted` manifest's references may be missing: they will come when they are asked for.
        """
        digest = reference.digest or digest_as("sha256", data)
        verify(data, digest)
        document = documents.parse(content_type, data)
        tags = [*tags, reference.tag] if reference.tag else tags
        async with self._locks.hold(repository):
            if condition is not NO_CONDITION:
                condition.check(await self._current(repository, reference))
            if not trusted:
                await self._claim_references(repository, document)
            await self._blobs.put(digest, data)
            record = {"mediaType": document.media_type, "size": len(data)}
            await self._driver.put(layout.manifest(repository, digest), json.dumps(record).encode())
            if document.subject is not None:
                await self.referrers.add(repository, document, digest, len(data))
            for tag in tags:
                await self._driver.put(layout.tag(repository, tag), digest.encode())
            await self._blobs.remember_repository(repository)
        return digest, document

    async def untag(self, repository: str, tag: str) -> None:
        """Remove a tag; MANIFEST_UNKNOWN."""
        async with self._locks.hold(repository):
            await self.resolve(repository, tag)
            await self._driver.delete(layout.tag(repository, tag))

    async def delete(self, repository: str, digest: Digest) -> None:
        """Remove a manifest, the tags that point to it and its mark on its subject."""
        async with self._locks.hold(repository):
            await self.info(repository, TagOrDigest(digest=digest))
            for tag in await self.tags_of(repository, digest):
                await self._driver.delete(layout.tag(repository, tag))
            await self._delete(repository, digest)

    async def delete_unused(self, repository: str, digest: Digest, before: float) -> bool:
        """Remove a manifest that no tag points to and nobody claimed since `before` (epoch)."""
        async with self._locks.hold(repository):
            try:
                info = await self._driver.stat(layout.manifest(repository, digest))
            except NotFound:
                return False
            if info.modified_at >= before or await self.tags_of(repository, digest):
                return False
            await self._delete(repository, digest)
            return True

    async def tags_of(self, repository: str, digest: Digest) -> list[str]:
        """Return the tags that point to a manifest."""
        tags = [tag async for tag in self.tags(repository)]
        return [tag for tag in tags if await self.resolve(repository, tag) == digest]

    async def _delete(self, repository: str, digest: Digest) -> None:
        try:
            subject = (await self.document(repository, digest)).subject
        except DistributionError:
            subject = None  # damaged: it can still be deleted
        if subject is not None:
            await self.referrers.remove(repository, subject, digest)
        await self._driver.delete(layout.manifest(repository, digest))

    async def tags(self, repository: str, *, after: str = "") -> AsyncIterator[str]:
        """Yield the tags greater than `after`, in the order of their bytes."""
        prefix = layout.tags(repository)
        async for info in self._driver.list(prefix, after=prefix + after if after else ""):
            yield info.key.removeprefix(prefix)

    async def digests(self, repository: str) -> AsyncIterator[Digest]:
        """Yield the digests of all manifests of a repository."""
        async for info in self._driver.list(layout.manifests(repository)):
            yield layout.digest_at_end(info.key)

    async def document(self, repository: str, digest: Digest) -> Document:
        """Return what a manifest of the repository says; MANIFEST_UNKNOWN."""
        found = await self.info(repository, TagOrDigest(digest=digest))
        return documents.reread(found.media_type, await self.content(digest))

    async def _current(self, repository: str, reference: TagOrDigest) -> Digest | None:
        try:
            return (await self.info(repository, reference)).digest
        except DistributionError:
            return None

    async def _claim_references(self, repository: str, document: Document) -> None:
        missing: list[Digest] = []

        async def claim(digest: Digest) -> None:
            try:
                await self._blobs.claim(repository, digest)
            except DistributionError:
                missing.append(digest)

        async def claim_child(digest: Digest) -> None:
            try:
                await self._driver.touch(layout.manifest(repository, digest))
            except NotFound:
                missing.append(digest)

        await asyncio.gather(*map(claim, document.blobs), *map(claim_child, document.manifests))
        if missing and self._check_references:
            detail = [{"digest": digest} for digest in sorted(missing)]
            raise DistributionError(Code.MANIFEST_BLOB_UNKNOWN, detail=detail)


def _unknown(repository: str, reference: TagOrDigest) -> DistributionError:
    detail = {"name": repository, "reference": str(reference)}
    return DistributionError(Code.MANIFEST_UNKNOWN, detail=detail)
