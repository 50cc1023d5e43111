"""`images`: list images."""

from collections.abc import Iterator, Mapping
from typing import Any

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, UsageError, Values, boolean, listing, string
from tiffin.cli.images.tree import print_tree
from tiffin.cli.table import Row, print_rows

DEFAULT = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
WITH_DIGESTS = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
RAW = ("repository:Repository tag:Tag image_id:ID created_at:CreatedAt "
       "virtual_size:Size")  # fmt: skip
HEADERS = {
    "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST", "ID": "IMAGE ID",
    "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
    "Containers": "CONTAINERS", "VirtualSize": "SIZE", "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}  # fmt: skip
NONE = "<none>"


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """List what matches."""
    filters = parse_filters(values["filter"])
    if arguments:
        filters.setdefault("reference", {})[arguments[0]] = True
    query = {"all": values["all"], "filters": filters, "manifests": values["tree"]}
    found = context.api.get("/images/json", query)
    found.sort(key=lambda image: -image["Created"])
    truncate = not values["no-trunc"]
    if values["tree"]:
        if values["quiet"] or values["format"] or values["digests"]:
            raise UsageError("--tree cannot be combined with --quiet, --format or --digests")
        print_tree(found, truncate=truncate)
        return 0
    if values["quiet"] and not values["format"]:
        for image in found:
            names = [name for name in image.get("RepoTags") or [] if name != f"{NONE}:{NONE}"]
            for _ in names or [NONE]:
                print(human.short_id(image["Id"]) if truncate else image["Id"])
        return 0
    rows = (row for image in found for row in _rows(image, values, truncate=truncate))
    print_rows(
        rows,
        format_text=values["format"] or context.config_file.get("imagesFormat", ""),
        default=WITH_DIGESTS if values["digests"] else DEFAULT,
        headers=HEADERS,
        raw=RAW,
    )
    return 0


def _rows(image: Mapping[str, Any], values: Values, *, truncate: bool) -> Iterator[Row]:
    """Yield a row for every name; an image without one has a single row."""
    digests = {
        name.partition("@")[0]: name.partition("@")[2] for name in image.get("RepoDigests") or []
    }
    tags = [name for name in image.get("RepoTags") or [] if name != f"{NONE}:{NONE}"]
    for name in tags:
        repository, _, tag = name.rpartition(":")
        yield _row(image, repository, tag, digests.get(repository, NONE), truncate=truncate)
    if not tags:
        named = [(name, digest) for name, digest in digests.items() if name != NONE]
        for repository, digest in named if values["digests"] or named else []:
            yield _row(image, repository, NONE, digest, truncate=truncate)
        if not named:
            yield _row(image, NONE, NONE, NONE, truncate=truncate)


def _row(
    image: Mapping[str, Any], repository: str, tag: str, digest: str, *, truncate: bool
) -> Row:
    shared, size = image.get("SharedSize", -1), image["Size"]
    containers = image.get("Containers", -1)
    return Row(
        {
            "ID": human.short_id(image["Id"]) if truncate else image["Id"],
            "Repository": repository,
            "Tag": tag,
            "Digest": digest,
            "CreatedSince": lambda: human.ago(image["Created"]),
            "CreatedAt": lambda: human.local_time(image["Created"]),
            "Size": human.size(size, 3),
            "VirtualSize": human.size(size),
            "SharedSize": "N/A" if shared < 0 else human.size(shared, 3),
            "UniqueSize": "N/A" if shared < 0 else human.size(size - shared),
            "Containers": "N/A" if containers < 0 else str(containers),
        }
    )


COMMAND = Command(
    synopsis="[OPTIONS] [REPOSITORY[:TAG]]",
    summary="List images",
    run=run,
    maximum=1,
    flags=[
        boolean("all", "Show all images (default hides intermediate images)", "a"),
        boolean("digests", "Show digests"),
        listing("filter", "Filter output based on conditions provided", "f", FILTER),
        string("format", "Format output using a custom template"),
        boolean("no-trunc", "Don't truncate output"),
        boolean("quiet", "Only show image IDs", "q"),
        boolean("tree", "List what images have for each platform"),
    ],
)
