"""`search`: images of a registry's index."""

from tiffin.cli.command import Command, Context
from tiffin.cli.credentials import registry_auth
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, integer, listing, string
from tiffin.cli.table import Row, print_rows

DEFAULT = "table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}"
HEADERS = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS",
           "IsOfficial": "OFFICIAL", "IsAutomated": "AUTOMATED"}  # fmt: skip
DESCRIPTION_WIDTH = 45


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print what matches, the best known first."""
    query = {"term": arguments[0], "limit": values["limit"] or 0,
             "filters": parse_filters(values["filter"])}  # fmt: skip
    headers = registry_auth(context, arguments[0])
    found = context.api.call("GET", "/images/search", query, headers=headers).json()
    found.sort(key=lambda item: -item["star_count"])

    def row(item: dict[str, object]) -> Row:
        text = str(item.get("description", "")).replace("\n", " ").replace("\r", " ")
        if not values["no-trunc"] and len(text) > DESCRIPTION_WIDTH:
            text = text[: DESCRIPTION_WIDTH - 1] + "…"
        return Row(
            {
                "Name": item["name"],
                "Description": text,
                "StarCount": str(item["star_count"]),
                "IsOfficial": "[OK]" if item.get("is_official") else "",
                "IsAutomated": "",
            }
        )

    print_rows(
        (row(item) for item in found),
        format_text=values["format"],
        default=DEFAULT,
        headers=HEADERS,
    )
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] TERM",
    summary="Search a registry for images",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        listing("filter", "Filter output based on conditions provided", "f", FILTER),
        string("format", "Pretty-print search using a Go template"),
        integer("limit", "Max number of search results"),
        boolean("no-trunc", "Don't truncate output"),
    ],
)
