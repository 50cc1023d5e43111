"""`volume ls`: list volumes."""

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing, string
from tiffin.cli.table import Lookup, Row, print_rows

DEFAULT = "table {{.Driver}}\t{{.Name}}"
RAW = "name:Name driver:Driver"
HEADERS = {"Driver": "DRIVER", "Name": "VOLUME NAME", "Scope": "SCOPE", "Labels": "LABELS",
           "Mountpoint": "MOUNTPOINT", "Links": "LINKS", "Size": "SIZE",
           "Availability": "AVAILABILITY", "Group": "GROUP", "Status": "STATUS"}  # fmt: skip


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """List what matches, by name."""
    del arguments
    answer = context.api.get("/volumes", {"filters": parse_filters(values["filter"])})
    found = sorted(answer.get("Volumes") or [], key=lambda volume: volume["Name"])
    if values["quiet"] and not values["format"]:
        for volume in found:
            print(volume["Name"])
        return 0
    rows = (
        Row(
            {
                "Driver": volume["Driver"],
                "Name": volume["Name"],
                "Scope": volume["Scope"],
                "Mountpoint": volume["Mountpoint"],
                "Labels": human.pairs(volume.get("Labels")),
                "Label": Lookup(volume.get("Labels")),
                "Links": str((volume.get("UsageData") or {}).get("RefCount", "N/A")),
                "Size": _size(volume),
                "Availability": "N/A",
                "Group": "N/A",
                "Status": "N/A",
            }
        )
        for volume in found
    )
    chosen = values["format"] or context.config_file.get("volumesFormat", "")
    print_rows(rows, format_text=chosen, default=DEFAULT, headers=HEADERS, raw=RAW)
    return 0


def _size(volume: dict[str, dict[str, int]]) -> str:
    measured = (volume.get("UsageData") or {}).get("Size", -1)
    return "N/A" if measured < 0 else human.size(measured, 4)


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="List volumes",
    run=run,
    maximum=0,
    flags=[
        listing("filter", 'Provide filter values (e.g. "dangling=true")', "f", FILTER),
        string("format", "Format output using a custom template"),
        boolean("quiet", "Only display volume names", "q"),
    ],
)
