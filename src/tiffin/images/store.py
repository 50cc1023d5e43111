"""The images of this machine: names → images → content and snapshots.

Rules: an image exists when its record does, and then its blobs and its unpacked layers are here;
records are added last and removed first, so that a crash leaves garbage, never a broken image.
Everything that is on its way to become an image is held by a lease.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tiffin.content.store import ContentStore
from tiffin.errors import Conflict, DataLoss, InvalidArgument, NotFound
from tiffin.images.garbage import Garbage, Reach, Removed, Roots
from tiffin.images.image import Image
from tiffin.images.index import is_whole, members, walk
from tiffin.images.lease import Lease, Leases
from tiffin.images.manifests import has_blob, read_config, read_image
from tiffin.images.unpack import Unpacker, discard_leftovers
from tiffin.snapshots.snapshotter import Snapshotter
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.digest import ChainId, Digest, hex_of, without_algorithm
from tiffin.spec.image import ImageConfig
from tiffin.spec.platform import host_platform, rank
from tiffin.spec.reference import Reference, as_image_id, parse_reference
from tiffin.state.images import (
    IMAGE,
    ImageRecord,
    ImageRecords,
    ReferenceRecord,
    retired_image,
    retired_reference,
)
from tiffin.state.retired import Retired

DOWNLOAD_AGE = timedelta(days=1)
"""How long the bytes of a download that broke off are kept over a restart."""
_DOWNLOAD = "layer-"


class ImageStore:
    """All operations are safe from any thread."""

    def __init__(
        self, content: ContentStore, snapshotter: Snapshotter, records: ImageRecords
    ) -> None:
        self.content = content
        self.snapshotter = snapshotter
        self.records = records
        self.unpacker = Unpacker(content, snapshotter, records)
        self._images: dict[Digest, Image] = {}
        self._indexes: dict[Digest, frozenset[Digest]] = {}
        self._leases = Leases(self._collect)
        self._garbage = Garbage(content, snapshotter, records, self._config_of, self._leases)

    # Finding

    def resolve(self, text: str) -> Image:
        """Find an image by full id, name, name@digest or id prefix, in this order, as Docker does.

        NotFound `No such image: …`; InvalidArgument if `text` can be none of them.
        """
        return self.get(self.resolve_id(text))

    def resolve_id(self, text: str) -> Digest:
        """Return the id that `resolve` would find, without reading the image."""
        image_id = as_image_id(text)
        if image_id is not None:
            if self.records.get(image_id) is None:
                raise NotFound(f"No such image: {text}")
            return image_id
        reference = parse_reference(text)
        found = self.find(reference)
        if found is not None:
            return found.image_id
        encoded = without_algorithm(text)
        if encoded and all(digit in "0123456789abcdef" for digit in encoded):
            prefixes = [text] if text != encoded else [f"sha256:{text}", f"sha512:{text}"]
            matching = [each for prefix in prefixes for each in self.records.with_prefix(prefix)]
            if len(matching) == 1:
                return matching[0]
            if matching:
                raise NotFound(f"No such image: {text}", hint="the id prefix is ambiguous")
        raise NotFound(f"No such image: {reference.with_default_tag().familiar}")

    def find(self, reference: Reference) -> ReferenceRecord | None:
        """Return what a name means; a digest counts more than a tag next to it."""
        if reference.digest:
            reference = reference.with_digest(reference.digest)
        return self.records.reference(reference.with_default_tag())

    def get(self, image_id: Digest) -> Image:
        """Return one image; NotFound."""
        record = self.records.get(image_id)
        if record is None:
            raise NotFound(f"No such image: {image_id}")
        return self._read(record)

    def all(self) -> list[Image]:
        """Return every image, in no order."""
        found: list[Image] = []
        for record in self.records.all():
            with suppress(NotFound, DataLoss):  # removed meanwhile, or damaged
                found.append(self._read(record))
        return found

    def parents(self) -> dict[Digest, str]:
        """Return of every image the one it was made from here, "" as `parent` does."""
        records = {record.id: record.parent for record in self.records.all()}
        return {image: parent if parent in records else "" for image, parent in records.items()}

    def references(self, image_id: Digest) -> list[ReferenceRecord]:
        """Return the names that mean this image where no platform is asked for."""
        return self.records.references(image_id)

    def names(self, image_id: Digest) -> list[ReferenceRecord]:
        """Return the names of an image, those of an index that it is part of if it has no other."""
        own = self.records.references(image_id)
        record = None if own else self.records.get(image_id)
        if record is None:
            return own
        manifest = record.manifest.digest
        return [
            each
            for each in self.records.all_references()
            if each.target.is_index and manifest in self.manifests_of(each.target)
        ]

    def variants(self, references: Iterable[ReferenceRecord]) -> list[Digest]:
        """Return the images of other platforms that have been made of the indexes of names."""
        targets = {each.target.digest: each.target for each in references if each.target.is_index}
        if not targets:
            return []
        manifests = frozenset[Digest]().union(*map(self.manifests_of, targets.values()))
        return [
            record.id
            for record in self.records.all()
            if record.manifest.digest in manifests and not self.records.references(record.id)
        ]

    def is_named(self, image: Image, name: Reference) -> bool:
        """Tell whether the image is here, and is what the name means or part of its index."""
        found = self.find(name)
        if found is None or self.records.get(image.id) is None:
            return False
        return found.image_id == image.id or image.manifest.digest in self.manifests_of(
            found.target
        )

    def manifests_of(self, target: Descriptor) -> frozenset[Digest]:
        """Return the manifests behind a name's target, whether they are here or not."""
        if not target.is_index:
            return frozenset((target.digest,))
        found = self._indexes.get(target.digest)
        if found is None:
            with suppress(InvalidArgument, DataLoss):
                found = frozenset(each.descriptor.digest for each in members(self.content, target))
            if not found:
                return frozenset()
            self._indexes[target.digest] = found
        return found

    def target_of(self, text: str) -> Descriptor:
        """Return the manifest or index that a name or id stands for; NotFound."""
        image_id = self.resolve_id(text)
        if not hex_of(image_id).startswith(without_algorithm(text)):
            record = self.find(parse_reference(text))
            if record is not None:
                return record.target
        indexes = {
            each.target.digest: each.target
            for each in self.records.references(image_id)
            if each.target.is_index
        }
        return next(iter(indexes.values())) if len(indexes) == 1 else self.get(image_id).manifest

    def parent(self, image_id: Digest) -> str:
        """Return the image it was made from here, "" if there is none or no more."""
        record = self.records.get(image_id)
        if record is None or not record.parent:
            return ""
        return record.parent if self.records.get(Digest(record.parent)) else ""

    # Adding

    def lease(self, *, adds: bool = True) -> Lease:
        """Begin to keep things from being collected; see `Lease`."""
        return self._leases.open(adds=adds)

    def hold(self, image: Image) -> Lease:
        """Keep an existing image's layers and blobs; NotFound if it is gone by now."""
        lease = self._leases.open(adds=False)
        lease.hold(*names_of(image))
        if self.records.get(image.id) is None:
            lease.close()
            raise NotFound(f"No such image: {image.id}")
        return lease

    def add(
        self, image: Image, names: Iterable[tuple[Reference, Descriptor]] = (), parent: str = ""
    ) -> None:
        """Make a complete, unpacked image known, with names; the caller holds a lease on it.

        Each name comes with the manifest or index it stands for. A name of an index goes on meaning
        this machine's platform when another one's image is added. DataLoss if a part is missing.
        """
        for digest in (image.manifest.digest, image.id, *(d.digest for d in image.layers)):
            if not has_blob(self.content, digest):
                raise DataLoss(f"image {image.id}: blob {digest} is missing")
        for chain_id in image.config.chain_ids():
            if not self.unpacker.has(chain_id):
                raise DataLoss(f"image {image.id}: layer {chain_id} is not unpacked")
        with self._garbage.lock:
            references = [
                ReferenceRecord(name, self._meant(name, image, target), target)
                for name, target in names
            ]
            self.records.add(ImageRecord(image.id, image.manifest, parent), references)

    def _meant(self, name: Reference, image: Image, target: Descriptor) -> Digest:
        """Return the image that a name means from now on where no platform is asked for."""
        before = self.records.reference(name)
        if before is None or before.target.digest != target.digest or not target.is_index:
            return image.id
        with suppress(NotFound, DataLoss):
            host = host_platform()
            new = rank(host, image.config.platform)
            old = rank(host, self.get(before.image_id).config.platform)
            if old is not None and (new is None or old <= new):
                return before.image_id
        return image.id

    def add_platform(self, image: Image) -> Image:
        """Unpack an image of an index that is here, if it is not yet; NotFound if a part is not."""
        with self.lease() as lease:
            lease.hold(*names_of(image))
            if self.records.get(image.id) is None:
                if not is_whole(self.content, image.manifest):
                    raise NotFound(f"No such image: {image.id}")
                self.unpacker.image(image)
                self.add(image)
            return self.get(image.id)

    def tag(self, image: Image, reference: Reference, target: Descriptor | None = None) -> None:
        """Give an image one more name (`latest` if it is bare); InvalidArgument for a digest."""
        if reference.digest and target is None:
            raise InvalidArgument("refusing to create a tag with a digest reference")
        with self._garbage.lock:
            if self.records.get(image.id) is None:
                raise NotFound(f"No such image: {image.id}")
            self.records.set_reference(
                ReferenceRecord(reference.with_default_tag(), image.id, target or image.manifest)
            )
            self.records.mark_tagged(image.id)

    def add_digest(self, image: Image, reference: Reference, target: Descriptor) -> None:
        """Note by which digest a repository has an image; nothing if that has no record here."""
        with self._garbage.lock:
            if self.records.get(image.id) is not None:
                self.records.set_reference(ReferenceRecord(reference, image.id, target))

    # Removing

    def untag(self, reference: Reference, operation: int | None = None) -> ReferenceRecord:
        """Take a name away and leave the image; NotFound. With an operation it can be undone."""
        with self._garbage.lock:
            record = self.find(reference)
            if record is None:
                raise NotFound(f"No such image: {reference.with_default_tag().familiar}")
            if operation is None:
                self.records.remove_reference(record.reference)
            else:
                self.records.retire_reference(record, operation)
            self._garbage.suspect(record.target)
            return record

    def remove(
        self, image_id: Digest, operation: int | None = None,
        lost: Sequence[ReferenceRecord] = (),
    ) -> Removed:  # fmt: skip
        """Remove an image, its names, and the content that nothing else needs.

        With an operation the content stays until that is undone or destroyed; what is told then
        is what destroying it frees. `lost` are names that the image had until now.
        """
        with self._garbage.lock:
            suspects = self._suspects(image_id)
            for reference in self.records.references(image_id):
                self._garbage.suspect(reference.target)
            if operation is None:
                self.records.remove(image_id)
                removed = self._collect(suspects)
            else:
                suspects |= self._behind(each.target for each in lost)
                removed = self._garbage.would_remove(suspects, (image_id,))
                names = [each.reference.familiar for each in lost]
                self.records.retire(image_id, operation, names, removed.size)
            self._images.pop(image_id, None)
            return removed

    def remove_platform(self, image: Image, instead: Image | None) -> Removed:
        """Remove what is here of one image of an index that stays.

        Names that meant it mean `instead` from then on. Conflict if it is being used.
        """
        with self._garbage.lock:
            references = self.records.references(image.id)
            for each in references:
                if instead is None or not each.target.is_index:
                    raise Conflict(f"image {image.id} has the name {each.reference.familiar}")
                # First, so that no crash finds a name without its image.
                self.records.set_reference(replace(each, image_id=instead.id))
            suspects = self._parts(image)
            if not self._garbage.drop(image.manifest.digest):
                for each in references:
                    self.records.set_reference(each)
                raise Conflict(f"image {image.id} is being used")
            self.records.remove(image.id)
            self._images.pop(image.id, None)
            return self._collect(suspects)

    def pass_over(self, manifest: Digest, lease: Lease) -> None:
        """Let go of a manifest of an index that came along unasked; the lease alone holds it."""
        self._garbage.drop(manifest, lease)

    def reach(self) -> Reach:
        """Tell which blobs and snapshots belong to images, and which to removed ones."""
        return self._garbage.reach()

    def would_remove(self, images: Collection[Image]) -> Removed:
        """Tell what removing these images together would free."""
        suspects = set[str]().union(*(self._parts(image) for image in images))
        for image in images:
            suspects |= self._behind(each.target for each in self.references(image.id))
        return self._garbage.would_remove(suspects, {image.id for image in images})

    def restore(self, item: Retired) -> None:
        """Bring back a retired image or name; DataLoss or NotFound if parts of it are lost."""
        with self._garbage.lock, self.lease() as lease:
            if item.kind == IMAGE:
                image = read_image(self.content, retired_image(item).manifest)
                lease.hold(*names_of(image))
                self.unpacker.image(image)
            self.records.restore(item)

    def destroy(self, item: Retired) -> Removed:
        """Drop a retired image or name for good, and the content that nothing else needs."""
        with self._garbage.lock:
            suspects: set[str] = set()
            if item.kind == IMAGE:
                with suppress(NotFound, InvalidArgument):
                    suspects = self._parts(read_image(self.content, retired_image(item).manifest))
            else:
                self._garbage.suspect(retired_reference(item).target)
            self.records.forget_retired(item)
            return self._collect(suspects)

    def _suspects(self, image_id: Digest) -> set[str]:
        try:
            return self._parts(self.get(image_id))
        except DataLoss:  # what it consisted of is known no more: a start sweeps it away
            return {image_id}

    def _behind(self, targets: Iterable[Descriptor]) -> set[str]:
        found: set[str] = set()
        for target in targets:
            with suppress(InvalidArgument, DataLoss):
                found.update(each.digest for each in walk(self.content, target))
        return found

    def _parts(self, image: Image) -> set[str]:
        compressed = (self.records.compressed(diff_id) for diff_id in image.config.diff_ids)
        return {*names_of(image), *(found.digest for found in compressed if found is not None)}

    def collect(self) -> Removed:
        """Remove what could not be removed earlier because it was in use."""
        return self._collect(())

    def discard_stale(self) -> None:
        """Forget downloads that broke off and that nobody has gone on with for an hour."""
        self.content.discard_ingests(older_than=datetime.now(UTC) - timedelta(hours=1))

    def add_roots(self, roots: Roots) -> None:
        """Let the build cache and others keep blobs and snapshots of theirs."""
        self._garbage.add_roots(roots)

    def recover(self, known_keys: Collection[str] | None = None) -> Sequence[str]:
        """Clean up after a crash and unpack again what it lost; return what could not be saved.

        For a start, before anybody else uses content and snapshots. `known_keys`: which snapshots
        of others to keep (None: all); what lies on a layer that was lost finds it made again.
        """
        now = datetime.now(UTC)
        self.content.discard_ingests(older_than=now, keep=is_download)
        self.content.discard_ingests(older_than=now - DOWNLOAD_AGE)
        self.snapshotter.recover(known_keys)
        discard_leftovers(self.snapshotter)
        dropped: list[str] = []
        for record in self.records.all():
            try:
                image = self.get(record.id)
                self.unpacker.image(image)
            except (NotFound, InvalidArgument) as error:
                self.records.remove(record.id)
                dropped.append(f"{record.id}: dropped: {error}")
            except (DataLoss, OSError) as error:
                # Damaged blobs can be fetched again; after a full disk the next start tries again.
                dropped.append(f"{record.id}: not unpacked: {error}")
        self._garbage.sweep()
        return dropped

    # Sizes

    def layer_size(self, chain_id: ChainId) -> int:
        """Return the unpacked size of one layer, bytes."""
        size = self.records.layer_size(chain_id)
        if size is None:
            size = self.snapshotter.usage(chain_id).size
            self.records.set_layer_size(chain_id, size)
        return size

    def layer_sizes(self, image: Image) -> list[int]:
        """Return the unpacked size of every layer, lowest first; of its blob if it is not here."""
        sizes: list[int] = []
        for layer, chain_id in zip(image.layers, image.config.chain_ids(), strict=True):
            try:
                sizes.append(self.layer_size(chain_id))
            except NotFound:
                sizes.append(layer.size)
        return sizes

    def size(self, image: Image) -> int:
        """Return the unpacked size of an image with all its layers, bytes."""
        return sum(self.layer_sizes(image))

    def unpacked_size(self, image: Image) -> int:
        """Return the bytes of those layers of an image that are unpacked here."""
        chain = image.config.chain_ids()
        return sum(self.layer_size(each) for each in chain if self.unpacker.has(each))

    def _read(self, record: ImageRecord) -> Image:
        image = self._images.get(record.id)
        if image is None:
            image = self._images[record.id] = read_image(self.content, record.manifest)
        return image

    def _config_of(self, image_id: Digest) -> ImageConfig:
        image = self._images.get(image_id)
        return image.config if image is not None else read_config(self.content, image_id)

    def _collect(self, suspects: Iterable[str]) -> Removed:
        return self._garbage.collect(suspects)


def download_ref(digest: Digest) -> str:
    """Return the name of the ingest of a blob from a registry, which a later pull goes on with."""
    return f"{_DOWNLOAD}{digest}"


def is_download(ref: str) -> bool:
    """Tell whether an ingest is a download that can be resumed."""
    return ref.startswith(_DOWNLOAD)


def names_of(image: Image) -> list[str]:
    """Return the blobs and snapshots that an image consists of."""
    return [
        image.manifest.digest,
        image.id,
        *(layer.digest for layer in image.layers),
        *image.config.chain_ids(),
    ]
