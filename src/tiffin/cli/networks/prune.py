"""`network prune`: remove all unused networks."""

from tiffin.cli.command import Command, Context
from tiffin.cli.each import confirm
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    if not values["force"]:
        print("WARNING! This will remove all custom networks not used by at least one container.")
        confirm("Are you sure you want to continue?")
    report = context.api.post("/networks/prune", {"filters": parse_filters(values["filter"])})
    deleted = report.get("NetworksDeleted") or []
    if deleted:
        print("Deleted Networks:", *deleted, "", sep="\n")
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove all unused networks",
    run=run,
    maximum=0,
    flags=[
        listing("filter", 'Provide filter values (e.g. "until=<timestamp>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
    ],
)
