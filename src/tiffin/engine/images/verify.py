"""`image verify`: find what the disk has damaged, name it, and fetch it again."""

import hashlib
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tiffin.api.types.images import VerifyProblem
from tiffin.content.store import ContentStore, IngestWriter
from tiffin.engine.images.access import RegistryAccess
from tiffin.engine.images.context import ImageContext, Progress
from tiffin.errors import AlreadyExists, NotFound, TiffinError
from tiffin.images.verify import Fault, Part, changed_layers, check_blob, documents, parts
from tiffin.registry.client import RegistryClient
from tiffin.registry.credentials import ANONYMOUS, Credentials
from tiffin.registry.errors import RegistryError
from tiffin.spec.digest import Digest, algorithm_of, hex_of
from tiffin.spec.ids import SHORT_LENGTH
from tiffin.spec.reference import Reference
from tiffin.state.images import ImageRecord
from tiffin.wire.jsonmessage import status

_BATCH = 4 << 20
_DOCUMENTS = ("index", "manifest")


@dataclass(slots=True)
class Verification:
    """One request. Damaged blobs are fetched again from where the image came from, if `repair`."""

    context: ImageContext
    access: RegistryAccess
    emit: Progress
    repair: bool = False
    credentials: Credentials = ANONYMOUS
    problems: list[VerifyProblem] = field(default_factory=list)
    checked: dict[Digest, bool] = field(default_factory=dict)

    async def run(self, refs: Sequence[str] = ()) -> list[VerifyProblem]:
        """Verify the named images, or all of them; NotFound. Each part is looked at once."""
        store = self.context.store
        if refs:
            ids = [await self.context.run(store.resolve_id, ref) for ref in refs]
            found = [store.records.get(image_id) for image_id in dict.fromkeys(ids)]
        else:
            found = list(store.records.all())
        for record in found:
            if record is not None:
                await self._image(record)
        return self.problems

    async def _image(self, record: ImageRecord) -> None:
        store, context = self.context.store, self.context
        names = [r.reference for r in await context.run(store.references, record.id)]
        shown = names[0].familiar if names else record.id
        self.emit(status(f"Verifying {shown}"))
        whole = True
        pending = await context.run(lambda: list(documents(store, record)))
        seen: set[Digest] = set()
        while pending:
            part = pending.pop(0)
            if part.descriptor.digest in seen:
                continue
            seen.add(part.descriptor.digest)
            right = await self._part(record, names, part)
            whole = whole and right
            if right and part.role in _DOCUMENTS:
                pending += await context.run(list, parts(store, part))
        if whole:
            for chain_id in await context.run(lambda: list(changed_layers(store, record))):
                self._report(record, names, Digest(chain_id), "unpacked layer", "changed")

    async def _part(self, record: ImageRecord, names: Sequence[Reference], part: Part) -> bool:
        digest = part.descriptor.digest
        if digest not in self.checked:
            stopped = threading.Event()
            fault = await self.context.run_stoppable(
                stopped.set, check_blob, self.context.store.content, digest, stopped
            )
            self.checked[digest] = fault is None or await self._bad(record, names, part, fault)
        return self.checked[digest]

    async def _bad(
        self, record: ImageRecord, names: Sequence[Reference], part: Part, fault: Fault
    ) -> bool:
        """Report a bad part; return whether it is right again."""
        reason = ""
        if self.repair:
            reason = await self._fetch(names, part)
        repaired = self.repair and not reason
        self._report(
            record,
            names,
            part.descriptor.digest,
            part.role,
            fault,
            repaired=repaired,
            reason=reason,
        )
        return repaired

    def _report(
        self, record: ImageRecord, names: Sequence[Reference], digest: Digest, role: str,
        fault: str, *, repaired: bool = False, reason: str = "",
    ) -> None:  # fmt: skip
        problem = VerifyProblem(
            image_id=record.id, names=[name.familiar for name in names if name.tag],
            digest=digest, role=role, fault=str(fault), repaired=repaired, reason=reason,
        )  # fmt: skip
        self.problems.append(problem)
        what = "fetched again" if repaired else reason or "not repaired"
        self.emit(status(f"{role} {hex_of(digest)[:SHORT_LENGTH]} is {fault}: {what}"))

    async def _fetch(self, names: Sequence[Reference], part: Part) -> str:
        """Replace a blob by what a registry has; return why that failed, "" if it did not."""
        reason = "the image was made here: there is nowhere to fetch it from"
        for name in {(name.domain, name.path): name for name in names}.values():

            async def attempt(client: RegistryClient, path: str = name.path) -> None:
                await self._replace(client, path, part)

            try:
                await self.access.each(name.domain, self.credentials, attempt, mirrors=True)
            except (TiffinError, OSError) as error:
                reason = str(error)
            else:
                return ""
        return reason

    async def _replace(self, client: RegistryClient, repository: str, part: Part) -> None:
        digest, run = part.descriptor.digest, self.context.run
        content = self.context.store.content
        writer = await run(content.writer, f"repair-{digest}")
        try:
            if part.role in _DOCUMENTS:
                remote = await client.manifest(repository, digest)
                await run(writer.write, remote.data)
            else:
                await self._download(client, repository, part, writer)
            await run(_publish, content, writer, digest)
        except BaseException:
            await run(writer.abort)
            raise

    async def _download(
        self, client: RegistryClient, repository: str, part: Part, writer: IngestWriter
    ) -> None:
        hasher = hashlib.new(algorithm_of(part.descriptor.digest))
        batch = bytearray()
        async with client.blob(repository, part.descriptor.digest) as body:
            async for chunk in body.chunks:
                batch += chunk
                if writer.offset + len(batch) > part.descriptor.size:
                    break
                if len(batch) >= _BATCH:
                    hasher.update(batch)
                    await self.context.run(writer.write, bytes(batch))
                    batch.clear()
        hasher.update(batch)
        await self.context.run(writer.write, bytes(batch))
        if hasher.hexdigest() != hex_of(part.descriptor.digest):
            raise RegistryError(f"{part.descriptor.digest}: the registry's bytes are others, too")


def _publish(content: ContentStore, writer: IngestWriter, digest: Digest) -> None:
    """Put right bytes in the place of wrong ones, which a commit would not replace."""
    with suppress(NotFound):
        content.delete(digest)
    with suppress(AlreadyExists):
        writer.commit(expected=digest)
