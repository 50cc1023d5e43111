"""`network ls`: list networks."""

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing, string
from tiffin.cli.table import Lookup, Row, print_rows

DEFAULT = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}"
RAW = "network_id:ID name:Name driver:Driver scope:Scope"
HEADERS = {"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE",
           "IPv4": "IPV4", "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS",
           "CreatedAt": "CREATED AT"}  # fmt: skip


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """List what matches, by name."""
    del arguments
    found = context.api.get("/networks", {"filters": parse_filters(values["filter"])})
    found.sort(key=lambda network: network["Name"])
    truncate = not values["no-trunc"]
    if values["quiet"] and not values["format"]:
        for network in found:
            print(human.short_id(network["Id"], truncate=truncate))
        return 0
    rows = (
        Row(
            {
                "ID": human.short_id(network["Id"], truncate=truncate),
                "Name": network["Name"],
                "Driver": network["Driver"],
                "Scope": network["Scope"],
                "IPv4": str(network.get("EnableIPv4", True)).lower(),
                "IPv6": str(network["EnableIPv6"]).lower(),
                "Internal": str(network["Internal"]).lower(),
                "Labels": human.pairs(network.get("Labels")),
                "Label": Lookup(network.get("Labels")),
                "CreatedAt": human.go_time(network["Created"]),
            }
        )
        for network in found
    )
    chosen = values["format"] or context.config_file.get("networksFormat", "")
    print_rows(rows, format_text=chosen, default=DEFAULT, headers=HEADERS, raw=RAW)
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="List networks",
    run=run,
    maximum=0,
    flags=[
        listing("filter", 'Provide filter values (e.g. "driver=bridge")', "f", FILTER),
        string("format", "Format output using a custom template"),
        boolean("no-trunc", "Do not truncate the output"),
        boolean("quiet", "Only display network IDs", "q"),
    ],
)
