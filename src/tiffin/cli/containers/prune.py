"""`container prune`: remove all stopped containers."""

from tiffin.cli import pruning
from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    pruning.ask(values, "WARNING! This will remove all stopped containers.")
    query = {"filters": parse_filters(values["filter"])}
    report = pruning.prune(context, values, "/containers/prune", query)
    pruning.show(values, "Deleted Containers:", report.get("ContainersDeleted") or [])
    pruning.show_total(values, report.get("SpaceReclaimed", 0))
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove all stopped containers",
    run=run,
    maximum=0,
    flags=[
        pruning.DRY_RUN,
        listing("filter", 'Provide filter values (e.g. "until=<timestamp>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
    ],
)
