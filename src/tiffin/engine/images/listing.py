"""`docker images`: which images a list shows, and their sizes."""

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tiffin.api.filters import Filters
from tiffin.api.types.images import ImageSummary
from tiffin.engine.images.context import ImageContext, created_seconds
from tiffin.engine.images.manifests import descriptor, summaries, targets_of
from tiffin.engine.images.render import digests_of, tags_of
from tiffin.engine.images.times import parse_moment
from tiffin.images.image import Image
from tiffin.spec.digest import ChainId, Digest
from tiffin.spec.reference import Reference
from tiffin.state.images import ReferenceRecord

FILTERS = frozenset(("dangling", "label", "label!", "before", "since", "reference", "until"))


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What to list and what to work out on the way. `all` shows intermediate images too."""

    all: bool = False
    filters: Filters = field(default_factory=Filters)
    shared_size: bool = False
    containers: bool = False
    manifests: bool = False


def list_images(context: ImageContext, options: ListOptions) -> list[ImageSummary]:
    """Return the images that pass the filters, newest first; InvalidArgument, NotFound."""
    filters = options.filters.validate(FILTERS)
    by_image: dict[Digest, list[ReferenceRecord]] = {}
    for record in context.store.records.all_references():
        by_image.setdefault(record.image_id, []).append(record)
    images = context.store.all()
    parents = context.store.parents()
    variants = _variants(context, images, by_image)
    others = {variant for each in variants.values() for variant in each}
    users = layer_users(images) if options.shared_size else {}
    accepted = _filter(context, filters)
    shown: list[tuple[int, Image, list[ReferenceRecord]]] = []
    with_children = set(parents.values())
    for image in images:
        references = by_image.get(image.id, [])
        if image.id in others:
            continue  # one more platform of an image that is shown
        if not _is_shown(references, options, has_children=image.id in with_children):
            continue
        references = _matching(references, filters)
        if "reference" in filters and not references:
            continue
        if accepted(image):
            shown.append((created_seconds(image), image, references))
    shown.sort(key=lambda item: (-item[0], item[1].id))
    return [
        _summary(
            context, image, references, parents.get(image.id, ""), options, users,
            variants.get(image.id, ()),
        )
        for _, image, references in shown
    ]  # fmt: skip


def _variants(
    context: ImageContext,
    images: Iterable[Image],
    by_image: Mapping[Digest, list[ReferenceRecord]],
) -> Mapping[Digest, Sequence[Digest]]:
    """Return the images without a name of their own, by the one that their index's name means."""
    owners: dict[Digest, Digest] = {}
    for image_id, references in by_image.items():
        for reference in references:
            if reference.target.is_index:
                manifests = context.store.manifests_of(reference.target)
                owners |= dict.fromkeys(manifests, image_id)
    found: dict[Digest, list[Digest]] = {}
    for image in images:
        if image.id not in by_image and image.manifest.digest in owners:
            found.setdefault(owners[image.manifest.digest], []).append(image.id)
    return found


def layer_users(images: list[Image]) -> Mapping[ChainId, int]:
    """Return how many images each layer is part of."""
    return Counter(chain_id for image in images for chain_id in image.config.chain_ids())


def shared_size(context: ImageContext, image: Image, users: Mapping[ChainId, int]) -> int:
    """Return the bytes of those layers that other images have too."""
    chain = image.config.chain_ids()
    return sum(context.store.layer_size(each) for each in chain if users.get(each, 0) > 1)


def _is_shown(
    references: list[ReferenceRecord], options: ListOptions, *, has_children: bool
) -> bool:
    """Tell whether the list has a row for an image, by Docker's rules for untagged images."""
    filters = options.filters
    dangling = filters.boolean("dangling")
    if references:
        return not (dangling and tags_of(references))
    if has_children and not options.all:
        return False
    return not ("dangling" in filters and not dangling)


def _filter(context: ImageContext, filters: Filters) -> Callable[[Image], bool]:
    before = [created_seconds(context.store.resolve(name)) for name in filters.get("before")]
    since = [created_seconds(context.store.resolve(name)) for name in filters.get("since")]
    until = [parse_moment(text).timestamp() for text in filters.get("until")]

    def accepted(image: Image) -> bool:
        created = created_seconds(image)
        return (
            all(created < moment for moment in before)
            and all(created > moment for moment in since)
            and all(created < moment for moment in until)
            and filters.matches_labels(image.config.config.labels)
        )

    return accepted


def _matching(references: list[ReferenceRecord], filters: Filters) -> list[ReferenceRecord]:
    patterns = filters.get("reference")
    if not patterns:
        return references
    return [r for r in references if any(_matches(r.reference, text) for text in patterns)]


def _matches(reference: Reference, pattern: str) -> bool:
    """Match as path.Match does: `*` stays within a path component."""
    names = {reference.familiar, reference.familiar_repository}
    if reference.tag:
        names.add(f"{reference.familiar_repository}:{reference.tag}")
    return any(
        name.count("/") == pattern.count("/")
        and all(
            fnmatch.fnmatchcase(part, piece)
            for part, piece in zip(name.split("/"), pattern.split("/"), strict=True)
        )
        for name in names
    )


def _summary(
    context: ImageContext,
    image: Image,
    references: list[ReferenceRecord],
    parent: str,
    options: ListOptions,
    users: Mapping[ChainId, int],
    variants: Sequence[Digest],
) -> ImageSummary:
    containers = -1
    if options.containers:
        family = (image.id, *variants)
        containers = sum(len(context.users.users_of(each)) for each in family)
    return ImageSummary(
        id=image.id,
        parent_id=parent,
        repo_tags=tags_of(references),
        repo_digests=digests_of(references),
        created=created_seconds(image),
        size=context.store.size(image),
        shared_size=shared_size(context, image, users) if options.shared_size else -1,
        labels=dict(image.config.config.labels) or None,
        containers=containers,
        descriptor=descriptor(targets_of(image, references)[0]),
        manifests=summaries(context, image, references) if options.manifests else [],
    )
