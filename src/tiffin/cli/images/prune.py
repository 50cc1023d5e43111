"""`image prune`: remove unused images."""

from tiffin.cli import pruning
from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    filters = parse_filters(values["filter"])
    filters["dangling"] = {"false" if values["all"] else "true": True}
    what = (
        "all images without at least one container associated to them."
        if values["all"]
        else "all dangling images."
    )
    pruning.ask(values, f"WARNING! This will remove {what}")
    report = pruning.prune(context, values, "/images/prune", {"filters": filters})
    pruning.show(values, "Deleted Images:", report.get("ImagesDeleted") or [])
    pruning.show_total(values, report.get("SpaceReclaimed", 0))
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove unused images",
    run=run,
    maximum=0,
    flags=[
        boolean("all", "Remove all unused images, not just dangling ones", "a"),
        pruning.DRY_RUN,
        listing("filter", 'Provide filter values (e.g. "until=<timestamp>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
    ],
)
