"""`network prune`: remove all unused networks."""

from tiffin.cli import pruning
from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    pruning.ask(
        values, "WARNING! This will remove all custom networks not used by at least one container."
    )
    query = {"filters": parse_filters(values["filter"])}
    report = pruning.prune(context, values, "/networks/prune", query)
    pruning.show(values, "Deleted Networks:", report.get("NetworksDeleted") or [])
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove all unused networks",
    run=run,
    maximum=0,
    flags=[
        pruning.DRY_RUN,
        listing("filter", 'Provide filter values (e.g. "until=<timestamp>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
    ],
)
