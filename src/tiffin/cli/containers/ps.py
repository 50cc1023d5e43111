"""`ps`: list containers."""

from collections.abc import Mapping
from typing import Any

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, INT, Flag, Values, boolean, listing, string
from tiffin.cli.ports import format_ports
from tiffin.cli.table import Lookup, Row, print_rows

DEFAULT = (
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"
)
RAW = ("container_id:ID image:Image command:Command created_at:CreatedAt state:State status:Status "
       "names:Names labels:Labels ports:Ports")  # fmt: skip
HEADERS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE", "Status": "STATUS", "Size": "SIZE",
    "Names": "NAMES", "Labels": "LABELS", "Mounts": "MOUNTS", "Networks": "NETWORKS",
    "LocalVolumes": "LOCAL VOLUMES", "Platform": "PLATFORM",
}  # fmt: skip


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """List what matches."""
    del arguments
    wants_size = values["size"] or ".Size" in values["format"] or "json ." in values["format"]
    found = context.api.get(
        "/containers/json",
        {
            "all": values["all"] or values["last"] > 0 or values["latest"],
            "limit": 1 if values["latest"] else max(values["last"], 0),
            "size": wants_size,
            "filters": parse_filters(values["filter"]),
        },
    )
    truncate = not values["no-trunc"]
    if values["quiet"] and values["format"]:
        context.warn("Ignoring custom format, because both --format and --quiet are set.")
    if values["quiet"]:
        for container in found:
            print(human.short_id(container["Id"], truncate=truncate))
        return 0
    chosen = values["format"] or context.config_file.get("psFormat", "")
    default = DEFAULT + ("\t{{.Size}}" if values["size"] else "")
    raw = RAW + (" size:Size" if values["size"] else "")
    rows = (_row(container, truncate=truncate) for container in found)
    print_rows(rows, format_text=chosen, default=default, headers=HEADERS, raw=raw)
    return 0


def _row(container: Mapping[str, Any], *, truncate: bool) -> Row:
    created = container["Created"]
    labels = container.get("Labels") or {}
    mounts = [mount.get("Name") or mount.get("Source", "") for mount in container.get("Mounts", [])]
    return Row(
        {
            "ID": human.short_id(container["Id"], truncate=truncate),
            "Image": _image(container, truncate=truncate),
            "Command": lambda: _command(container["Command"], truncate=truncate),
            "CreatedAt": lambda: human.local_time(created),
            "RunningFor": lambda: human.ago(created),
            "Ports": lambda: format_ports(container.get("Ports") or []),
            "State": container["State"],
            "Status": container["Status"],
            "Size": lambda: _size(container),
            "Names": _names(container["Names"], truncate=truncate),
            "Labels": human.pairs(labels),
            "Label": Lookup(labels),
            "Mounts": ",".join(_ellipsis(name, 15) if truncate else name for name in mounts),
            "LocalVolumes": str(
                sum(1 for m in container.get("Mounts", []) if m.get("Driver") == "local")
            ),
            "Networks": ",".join(
                sorted((container.get("NetworkSettings") or {}).get("Networks") or {})
            ),
            "Platform": None,
        }
    )


def _image(container: Mapping[str, Any], *, truncate: bool) -> str:
    image: str = container["Image"]
    if truncate and image.startswith("sha256:"):
        return human.short_id(image)
    if truncate and "@" in image:
        return image.partition("@")[0]
    return image or "<no image>"


def _command(command: str, *, truncate: bool) -> str:
    import json

    return json.dumps(_ellipsis(command, 20) if truncate else command, ensure_ascii=False)


def _ellipsis(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _names(names: list[str], *, truncate: bool) -> str:
    stripped = [name.removeprefix("/") for name in names]
    if truncate:
        stripped = [name for name in stripped if "/" not in name] or stripped
    return ",".join(stripped)


def _size(container: Mapping[str, Any]) -> str:
    own = human.size(container.get("SizeRw", 0), 3)
    virtual = container.get("SizeRootFs", 0)
    return f"{own} (virtual {human.size(virtual, 3)})" if virtual else own


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="List containers",
    run=run,
    maximum=0,
    flags=[
        boolean("all", "Show all containers (default shows just running)", "a"),
        listing("filter", "Filter output based on conditions provided", "f", FILTER),
        string("format", "Format output using a custom template"),
        Flag("last", INT, "Show n last created containers (includes all states)", "n", -1, "-1"),
        boolean("latest", "Show the latest created container (includes all states)", "l"),
        boolean("no-trunc", "Don't truncate output"),
        boolean("quiet", "Only display container IDs", "q"),
        boolean("size", "Display total file sizes", "s"),
    ],
)
