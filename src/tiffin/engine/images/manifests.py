"""The manifests behind an image as wire values: what `docker images --tree` shows."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from tiffin.api.types.images import (
    AttestationProperties,
    ImageProperties,
    ManifestSize,
    ManifestSummary,
    OCIDescriptor,
    OCIPlatform,
)
from tiffin.engine.images.context import ImageContext
from tiffin.errors import DataLoss, InvalidArgument, NotFound
from tiffin.images.image import Image
from tiffin.images.index import Kind, Member, is_whole, members, platform_of, walk
from tiffin.images.manifests import read_image
from tiffin.spec.descriptor import Descriptor
from tiffin.spec.platform import Platform
from tiffin.state.images import ReferenceRecord


def targets_of(image: Image, references: Iterable[ReferenceRecord]) -> Sequence[Descriptor]:
    """Return the indexes that an image's names stand for, or its manifest if there are none."""
    indexes = {each.target.digest: each.target for each in references if each.target.is_index}
    return list(indexes.values()) or [image.manifest]


def summaries(
    context: ImageContext, image: Image, references: Iterable[ReferenceRecord]
) -> list[ManifestSummary]:
    """Describe every manifest that an image's names stand for, here or not."""
    found: dict[str, ManifestSummary] = {}
    for target in targets_of(image, references):
        with suppress(InvalidArgument, DataLoss):
            for member in members(context.store.content, target):
                if member.descriptor.digest not in found:
                    found[member.descriptor.digest] = _summary(context, member)
    return list(found.values())


def _summary(context: ImageContext, member: Member) -> ManifestSummary:
    content = context.store.content
    size = 0
    for blob in walk(content, member.descriptor):
        with suppress(NotFound):
            size += content.info(blob.digest).size
    summary = ManifestSummary(
        id=member.descriptor.digest,
        descriptor=descriptor(member.descriptor),
        available=is_whole(content, member.descriptor),
        size=ManifestSize(content=size, total=size),
        kind=member.kind,
    )
    if member.kind is Kind.IMAGE:
        summary.image_data = _image_data(context, member)
        summary.size.total += summary.image_data.size.unpacked
    elif member.kind is Kind.ATTESTATION:
        summary.attestation_data = AttestationProperties(for_=member.subject)
    return summary


def _image_data(context: ImageContext, member: Member) -> ImageProperties:
    store = context.store
    data = ImageProperties()
    offered = platform_of(store.content, member)
    if offered is not None:
        data.platform = platform(offered)
    with suppress(NotFound, InvalidArgument, DataLoss):
        image = read_image(store.content, member.descriptor)
        data.size.unpacked = store.unpacked_size(image)
        data.containers = [container for container, _ in context.users.users_of(image.id)]
    return data


def descriptor(value: Descriptor) -> OCIDescriptor:
    """Return a descriptor."""
    return OCIDescriptor(
        media_type=value.media_type,
        digest=value.digest,
        size=value.size,
        urls=list(value.urls),
        annotations=dict(value.annotations),
        artifact_type=value.artifact_type,
        platform=platform(value.platform) if value.platform else None,
    )


def platform(value: Platform) -> OCIPlatform:
    """Return a platform."""
    return OCIPlatform(
        architecture=value.architecture,
        os=value.os,
        os_version=value.os_version,
        os_features=list(value.os_features),
        variant=value.variant,
    )
