"""`images --tree`: what every image has for each platform."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tiffin.cli import human
from tiffin.cli.table import Row, print_rows

_TEMPLATE = "table {{.Image}}\t{{.ID}}\t{{.Disk}}\t{{.Content}}\t{{.Extra}}"
_HEADERS = {
    "Image": "IMAGE", "ID": "ID", "Disk": "DISK USAGE", "Content": "CONTENT SIZE",
    "Extra": "EXTRA",
}  # fmt: skip
_IN_USE = "U"


def print_tree(images: Iterable[Mapping[str, Any]], *, truncate: bool) -> None:
    """Print an image a line, and below it the platforms that its index names."""
    rows = (row for image in images for row in _rows(image, truncate=truncate))
    print_rows(rows, format_text=_TEMPLATE, default=_TEMPLATE, headers=_HEADERS)


def _rows(image: Mapping[str, Any], *, truncate: bool) -> Iterator[Row]:
    platforms = [each for each in image.get("Manifests") or [] if each.get("ImageData")]
    in_use = any(each["ImageData"].get("Containers") for each in platforms)
    content = sum(each["Size"]["Content"] for each in image.get("Manifests") or [])
    disk = sum(each["Size"]["Total"] for each in image.get("Manifests") or [])
    for name in image.get("RepoTags") or ["<untagged>"]:
        yield _row(name, image["Id"], disk, content, in_use=in_use, truncate=truncate)
        for number, each in enumerate(platforms, 1):
            branch = "└─" if number == len(platforms) else "├─"
            size, data = each["Size"], each["ImageData"]
            yield _row(
                f"{branch} {_platform(data['Platform'])}", each["ID"], size["Total"],
                size["Content"], in_use=bool(data.get("Containers")), truncate=truncate,
            )  # fmt: skip


def _row(
    name: str, identifier: str, disk: int, content: int, *, in_use: bool, truncate: bool
) -> Row:
    return Row(
        {
            "Image": name,
            "ID": human.short_id(identifier, truncate=truncate),
            "Disk": human.size(disk, 3),
            "Content": human.size(content, 3),
            "Extra": _IN_USE if in_use else "",
        }
    )


def _platform(platform: Mapping[str, str]) -> str:
    parts = (platform.get(key, "") for key in ("os", "architecture", "variant"))
    return "/".join(part for part in parts if part)
