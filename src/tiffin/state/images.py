"""What the engine knows about images beyond their content: names, parents, sizes, origins."""

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiffin.spec.descriptor import Descriptor, encode_object
from tiffin.spec.digest import ChainId, DiffId, Digest
from tiffin.spec.reference import Reference, parse_reference
from tiffin.state.database import Database, Row
from tiffin.state.retired import Retired, RetiredRecords

IMAGE = "image"
IMAGE_NAME = "image-name"
"""Kinds of what can be restored."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS images (
        id TEXT PRIMARY KEY, manifest TEXT NOT NULL, parent TEXT NOT NULL,
        tagged_at_ns INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS image_references (
        name TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images(id),
        target TEXT NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS image_references_by_image ON image_references(image_id)",
    """CREATE TABLE IF NOT EXISTS layer_sizes (
        chain_id TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS blob_sources (
        digest TEXT NOT NULL, domain TEXT NOT NULL, path TEXT NOT NULL,
        PRIMARY KEY (digest, domain, path)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS compressed_layers (
        diff_id TEXT PRIMARY KEY, descriptor TEXT NOT NULL) WITHOUT ROWID""",
)


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image. `parent` is "" unless it was made here from another; `tagged_at_ns` 0 if never."""

    id: Digest
    manifest: Descriptor
    parent: str = ""
    tagged_at_ns: int = 0


@dataclass(frozen=True, slots=True)
class ReferenceRecord:
    """One name. `target` is the manifest or index it stood for where it came from."""

    reference: Reference
    image_id: Digest
    target: Descriptor


class ImageRecords:
    """The repository of images and their names."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._retired = RetiredRecords(database)
        database.ensure(_SCHEMA)

    # Images

    def add(self, record: ImageRecord, references: Iterable[ReferenceRecord] = ()) -> None:
        """Add an image and names for it, durably and together; a known image keeps its parent."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO images VALUES (?,?,?,?) ON CONFLICT(id) DO NOTHING",
                (record.id, _text(record.manifest), record.parent, record.tagged_at_ns),
            )
            for reference in references:
                self.set_reference(reference)

    def get(self, image_id: Digest) -> ImageRecord | None:
        """Return one image."""
        rows = self._database.query("SELECT * FROM images WHERE id=?", (image_id,))
        return _image(rows[0]) if rows else None

    def all(self) -> list[ImageRecord]:
        """Return every image."""
        return [_image(row) for row in self._database.query("SELECT * FROM images")]

    def with_prefix(self, prefix: str) -> list[Digest]:
        """Return the ids that start with `prefix`, which includes the algorithm; two at most."""
        rows = self._database.query(
            "SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2", (prefix, prefix + "\x7f")
        )
        return [Digest(row[0]) for row in rows]

    def children(self, image_id: Digest) -> list[Digest]:
        """Return the images made from this one."""
        rows = self._database.query("SELECT id FROM images WHERE parent=?", (image_id,))
        return [Digest(row[0]) for row in rows]

    def remove(self, image_id: Digest) -> None:
        """Forget an image and all its names, durably."""
        with self._database.transaction(frees=True) as connection:
            connection.execute("DELETE FROM image_references WHERE image_id=?", (image_id,))
            connection.execute("DELETE FROM images WHERE id=?", (image_id,))

    # Names

    def set_reference(self, record: ReferenceRecord) -> None:
        """Let a name mean an image, whatever it meant before; durable."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO image_references VALUES (?,?,?)",
                (str(record.reference), record.image_id, _text(record.target)),
            )

    def mark_tagged(self, image_id: Digest) -> None:
        """Note that the image was given a name here and now."""
        with self._database.transaction(durable=False) as connection:
            connection.execute(
                "UPDATE images SET tagged_at_ns=? WHERE id=?", (time.time_ns(), image_id)
            )

    def reference(self, reference: Reference) -> ReferenceRecord | None:
        """Return what a name means."""
        rows = self._database.query(
            "SELECT * FROM image_references WHERE name=?", (str(reference),)
        )
        return _reference(rows[0]) if rows else None

    def references(self, image_id: Digest) -> list[ReferenceRecord]:
        """Return the names of one image, in order."""
        return [
            _reference(row)
            for row in self._database.query(
                "SELECT * FROM image_references WHERE image_id=? ORDER BY name", (image_id,)
            )
        ]

    def all_references(self) -> list[ReferenceRecord]:
        """Return every name, in order."""
        rows = self._database.query("SELECT * FROM image_references ORDER BY name")
        return [_reference(row) for row in rows]

    def remove_reference(self, reference: Reference) -> None:
        """Forget a name, durably."""
        with self._database.transaction(frees=True) as connection:
            connection.execute("DELETE FROM image_references WHERE name=?", (str(reference),))

    # What can be brought back

    def retire(self, image_id: Digest, operation: int, names: Sequence[str], size: int) -> None:
        """Move an image without names among what can be restored, durably; nothing if unknown."""
        with self._database.transaction(frees=True):
            record = self.get(image_id)
            if record is not None:
                written = {
                    "manifest": record.manifest.to_json(),
                    "parent": record.parent,
                    "tagged_at_ns": record.tagged_at_ns,
                }
                self._retired.add(
                    Retired(operation, IMAGE, image_id, names, size, encode_object(written))
                )
                self.remove(image_id)

    def retire_reference(self, record: ReferenceRecord, operation: int) -> None:
        """Move a name among what can be restored, durably."""
        written = {"image_id": record.image_id, "target": record.target.to_json()}
        name = record.reference
        with self._database.transaction(frees=True):
            self._retired.add(
                Retired(
                    operation, IMAGE_NAME, str(name), (name.familiar,), 0, encode_object(written)
                )
            )
            self.remove_reference(name)

    def restore(self, item: Retired) -> None:
        """Bring back an image, or a name unless it means something else by now; durable."""
        with self._database.transaction():
            if item.kind == IMAGE:
                self.add(retired_image(item))
            else:
                record = retired_reference(item)
                if self.reference(record.reference) is None:
                    self.set_reference(record)
            self._retired.remove(item)

    def forget_retired(self, item: Retired) -> None:
        """Drop an image or name for good."""
        self._retired.remove(item)

    def retired(self) -> tuple[list[ImageRecord], list[ReferenceRecord]]:
        """Return the images and names that can be restored."""
        items = self._retired.all((IMAGE, IMAGE_NAME))
        return (
            [retired_image(item) for item in items if item.kind == IMAGE],
            [retired_reference(item) for item in items if item.kind == IMAGE_NAME],
        )

    # Layers

    def layer_size(self, chain_id: ChainId) -> int | None:
        """Return the unpacked size of a layer without those below it."""
        rows = self._database.query("SELECT size FROM layer_sizes WHERE chain_id=?", (chain_id,))
        return int(rows[0][0]) if rows else None

    def set_layer_size(self, chain_id: ChainId, size: int) -> None:
        """Remember the unpacked size of a layer."""
        with self._database.transaction(durable=False) as connection:
            connection.execute("INSERT OR REPLACE INTO layer_sizes VALUES (?,?)", (chain_id, size))

    def compressed(self, diff_id: DiffId) -> Descriptor | None:
        """Return the compressed form of a layer that was made for a push."""
        rows = self._database.query(
            "SELECT descriptor FROM compressed_layers WHERE diff_id=?", (diff_id,)
        )
        return _descriptor(rows[0][0]) if rows else None

    def set_compressed(self, diff_id: DiffId, descriptor: Descriptor) -> None:
        """Remember the compressed form of a layer."""
        with self._database.transaction(durable=False) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO compressed_layers VALUES (?,?)",
                (diff_id, _text(descriptor)),
            )

    def all_compressed(self) -> dict[DiffId, Descriptor]:
        """Return the compressed forms of all layers."""
        rows = self._database.query("SELECT * FROM compressed_layers")
        return {Digest(row[0]): _descriptor(row[1]) for row in rows}

    def sources(self, digest: Digest, domain: str) -> list[str]:
        """Return the repositories (paths) of a registry that are known to have a blob."""
        rows = self._database.query(
            "SELECT path FROM blob_sources WHERE digest=? AND domain=? ORDER BY path",
            (digest, domain),
        )
        return [row[0] for row in rows]

    def add_source(self, digest: Digest, reference: Reference) -> None:
        """Remember that a repository has a blob."""
        with self._database.transaction(durable=False) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO blob_sources VALUES (?,?,?)",
                (digest, reference.domain, reference.path),
            )

    def forget_content(self, blobs: Iterable[Digest], chains: Iterable[ChainId]) -> None:
        """Drop what is remembered about content that was deleted."""
        with self._database.transaction(frees=True, durable=False) as connection:
            for digest in blobs:
                connection.execute("DELETE FROM blob_sources WHERE digest=?", (digest,))
                connection.execute("DELETE FROM compressed_layers WHERE diff_id=?", (digest,))
            for chain_id in chains:
                connection.execute("DELETE FROM layer_sizes WHERE chain_id=?", (chain_id,))


def _image(row: Row) -> ImageRecord:
    return ImageRecord(Digest(row[0]), _descriptor(row[1]), row[2], row[3])


def _reference(row: Row) -> ReferenceRecord:
    return ReferenceRecord(parse_reference(row[0]), Digest(row[1]), _descriptor(row[2]))


def retired_image(item: Retired) -> ImageRecord:
    """Return the record that an image had."""
    written = json.loads(item.record)
    return ImageRecord(
        Digest(item.id),
        Descriptor.from_json(written["manifest"]),
        written["parent"],
        written["tagged_at_ns"],
    )


def retired_reference(item: Retired) -> ReferenceRecord:
    """Return the record that a name had."""
    written = json.loads(item.record)
    return ReferenceRecord(
        parse_reference(item.id),
        Digest(written["image_id"]),
        Descriptor.from_json(written["target"]),
    )


def _text(descriptor: Descriptor) -> str:
    return encode_object(descriptor.to_json()).decode()


def _descriptor(text: str) -> Descriptor:
    return Descriptor.from_json(json.loads(text))
