"""`docker load`, `save` and `import`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tiffin.engine.images.context import ImageContext, Progress
from tiffin.engine.images.pull import LayerReporter
from tiffin.images.image import Image
from tiffin.images.load import Loaded, load
from tiffin.images.save import choose, save
from tiffin.images.tarball import import_tarball
from tiffin.images.unpack import OnRead, ignore_progress
from tiffin.layers.compression import Source
from tiffin.spec.digest import DiffId
from tiffin.spec.ids import short
from tiffin.spec.image import History, ImageConfig
from tiffin.spec.platform import Platform, host_platform
from tiffin.spec.reference import Reference
from tiffin.wire.jsonmessage import JsonMessage, status


async def load_images(
    context: ImageContext, stream: Source, emit: Progress, *, quiet: bool = False,
    platform: Platform | None = None,
) -> list[Loaded]:  # fmt: skip
    """Load all images of an archive; `stream` is read in a worker thread.

    InvalidArgument or DataLoss leave nothing behind.
    """
    reporters: list[LayerReporter] = []
    stopper = LayerReporter(emit, "", "", 0)
    reporters.append(stopper)

    def on_layer(diff_id: DiffId, size: int) -> OnRead:
        if quiet:
            return ignore_progress
        reporter = LayerReporter(emit, "Loading layer", short(diff_id), size, loop=stopper.loop)
        reporters.append(reporter)
        return reporter.on_read

    def stop() -> None:
        for reporter in reporters:
            reporter.stop()

    loaded = await context.run_stoppable(
        stop, load, context.store, _Stoppable(stream, stopper),
        platform, on_layer,
    )  # fmt: skip
    for item in loaded:
        for name, old in item.replaced:
            emit(_line(f"The image {name.familiar} already exists, renaming the old one with ID "
                       f"{old} to empty string"))  # fmt: skip
        for name in item.names:
            emit(_line(f"Loaded image: {name.familiar}"))
        if not item.names:
            emit(_line(f"Loaded image ID: {item.image.id}"))
        context.publish("load", item.image.id)
    return loaded


async def save_images(
    context: ImageContext, names: Sequence[str], platforms: Sequence[Platform] = ()
) -> Iterator[bytes]:
    """Return an archive of images as chunks, to be advanced in a thread and closed; NotFound."""
    selected = await context.run(choose, context.store, names, platforms)
    chunks = save(context.store, selected)
    for item in selected:
        context.publish("save", item.image.id)
    return chunks


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What an imported image is to be like; `source` is where it came from, for the history."""

    name: Reference | None = None
    message: str = ""
    changes: Sequence[str] = ()
    platform: Platform | None = None
    source: str = "-"


async def import_image(
    context: ImageContext, stream: Source, request: ImportRequest, emit: Progress
) -> Image:
    """Make an image of a filesystem's tar; InvalidArgument leaves nothing behind."""
    created = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    platform = request.platform or host_platform()
    config = ImageConfig(
        architecture=platform.architecture, os=platform.os, variant=platform.variant,
        created=created,
    )  # fmt: skip
    if request.changes:
        from tiffin.build.changes import apply_changes  # the builder, which an idle daemon spares

        config = apply_changes(config, request.changes)
    comment = request.message or f"Imported from {request.source}"
    stopper = LayerReporter(emit, "", "", 0)
    names = () if request.name is None else (request.name.with_default_tag(),)
    image = await context.run_stoppable(
        stopper.stop, import_tarball, context.store, _Stoppable(stream, stopper),
        replace(config, created=created), History(created, comment=comment), names,
    )  # fmt: skip
    emit(status(image.id))
    context.publish("import", image.id, names[0].familiar if names else "")
    return image


def _line(text: str) -> JsonMessage:
    return JsonMessage(stream=text + "\n")


@dataclass(frozen=True, slots=True)
class _Stoppable:
    """A stream that ends with Cancelled once the request is gone."""

    stream: Source
    stopper: LayerReporter

    def read(self, size: int, /) -> bytes:
        self.stopper.check()
        return self.stream.read(size)
