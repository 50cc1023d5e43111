"""Images as wire values."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from tiffin.api.types.images import (
    DriverData,
    HistoryItem,
    ImageInspect,
    ImageMetadata,
    ImageRootFS,
)
from tiffin.engine.images.context import ImageContext, created_seconds
from tiffin.engine.images.manifests import descriptor, summaries, targets_of
from tiffin.engine.images.times import parse_time
from tiffin.images.image import Image
from tiffin.spec.container_config import ContainerConfig
from tiffin.spec.digest import Digest
from tiffin.state.images import ReferenceRecord

_ZERO_TIME = "0001-01-01T00:00:00Z"
_LEGACY_DEFAULTS: Mapping[str, Any] = {
    "Hostname": "",
    "Domainname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "OnBuild": None,
    "Labels": None,
}


def tags_of(references: list[ReferenceRecord]) -> list[str]:
    """Return the familiar `name:tag`s."""
    return [r.reference.familiar for r in references if not r.reference.digest]


def digests_of(references: list[ReferenceRecord]) -> list[str]:
    """Return the familiar `name@digest`s."""
    return [r.reference.familiar for r in references if r.reference.digest]


def inspect(context: ImageContext, image: Image, *, manifests: bool) -> ImageInspect:
    """Describe an image in full, in the newest version of the API."""
    store = context.store
    references = store.names(image.id)
    record = store.records.get(image.id)
    config = image.config
    tagged_at_ns = record.tagged_at_ns if record is not None else 0
    return ImageInspect(
        id=image.id,
        repo_tags=tags_of(references),
        repo_digests=digests_of(references),
        parent=store.parent(image.id),
        comment=config.history[-1].comment if config.history else "",
        created=config.created if parse_time(config.created) else "",
        docker_version=str(config.extra.get("docker_version") or ""),
        author=config.author,
        config=config.config.to_json(),
        architecture=config.architecture,
        variant=config.variant,
        os=config.os or "linux",
        os_version=config.os_version,
        size=store.size(image),
        graph_driver=driver_data(context, image),
        root_fs=ImageRootFS(type=config.rootfs.type, layers=list(config.diff_ids)),
        metadata=ImageMetadata(last_tag_time=_time(tagged_at_ns)),
        descriptor=descriptor(targets_of(image, references)[0]),
        manifests=summaries(context, image, references) if manifests else [],
    )


def legacy_config(config: ContainerConfig) -> dict[str, Any]:
    """Return the config section as versions before 1.50 showed it, defaults included."""
    return {**_LEGACY_DEFAULTS, **config.to_json()}


def downgrade(value: ImageInspect, image: Image, version: tuple[int, int]) -> ImageInspect:
    """Change a description to what clients of an older version of the API expect."""
    if version < (1, 50):
        value.config = legacy_config(image.config.config)
    if version < (1, 48):
        value.descriptor = None
        value.manifests = []
    if version < (1, 45):
        section = image.config.extra.get("container_config")
        parsed = ContainerConfig.from_json(section if isinstance(section, dict) else None)
        value.container_config = legacy_config(parsed)
        value.container = str(image.config.extra.get("container") or "")
    if version < (1, 44):
        value.virtual_size = value.size
        value.created = value.created or _ZERO_TIME
    return value


def driver_data(context: ImageContext, image: Image) -> DriverData:
    """Tell where the image's top layer is on disk."""
    snapshotter = context.store.snapshotter
    data: dict[str, str] = {}
    if image.chain_id and context.store.unpacker.has(Digest(image.chain_id)):
        upper = snapshotter.upper(image.chain_id)
        if upper is not None:
            data["UpperDir"] = str(upper)
        lowers = snapshotter.lowers(image.chain_id)
        if lowers:
            data["LowerDir"] = ":".join(str(lower) for lower in lowers)
    name = "overlay2" if snapshotter.name == "overlay" else snapshotter.name
    return DriverData(name=name, data=data or None)


def history(context: ImageContext, image: Image) -> list[HistoryItem]:
    """Return the steps of an image, newest first; those of known parents carry their ids."""
    store = context.store
    sizes = iter(store.layer_sizes(image))
    items: list[HistoryItem] = []
    for step in image.config.history:
        moment = parse_time(step.created)
        items.append(
            HistoryItem(
                created=int(moment.timestamp()) if moment else 0,
                created_by=step.created_by,
                size=0 if step.empty_layer else next(sizes, 0),
                comment=step.comment,
            )
        )
    # An image without history still has layers.
    items.extend(HistoryItem(created=created_seconds(image), size=size) for size in sizes)
    items.reverse()
    identifier: str = image.id
    for item in items:
        item.id = identifier
        item.tags = tags_of(store.names(Digest(identifier))) or None
        identifier = store.parent(Digest(identifier))
        if not identifier:
            break
    return items


def _time(ns: int) -> str:
    if not ns:
        return _ZERO_TIME
    seconds, rest = divmod(ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
