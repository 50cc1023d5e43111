"""`container prune`: remove all stopped containers."""

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.each import confirm
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    if not values["force"]:
        print("WARNING! This will remove all stopped containers.")
        confirm("Are you sure you want to continue?")
    report = context.api.post("/containers/prune", {"filters": parse_filters(values["filter"])})
    deleted = report.get("ContainersDeleted") or []
    if deleted:
        print("Deleted Containers:", *deleted, "", sep="\n")
    print(f"Total reclaimed space: {human.size(report.get('SpaceReclaimed', 0))}")
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove all stopped containers",
    run=run,
    maximum=0,
    flags=[
        listing("filter", 'Provide filter values (e.g. "until=<timestamp>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
    ],
)
