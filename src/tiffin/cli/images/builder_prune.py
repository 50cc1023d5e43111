"""`builder prune`: remove the build cache."""

from tiffin.cli import pruning
from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import BYTES, FILTER, Flag, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    what = "all" if values["all"] else "all dangling"
    pruning.ask(
        values,
        question=f"WARNING! This will remove {what} build cache. Are you sure you want to continue?",
    )
    query = {"all": values["all"], "filters": parse_filters(values["filter"]),
             "keep-storage": values["keep-storage"] or None}  # fmt: skip
    report = pruning.prune(context, values, "/build/prune", query)
    pruning.show(values, "Deleted build cache objects:", report.get("CachesDeleted") or [])
    pruning.show_total(values, report.get("SpaceReclaimed", 0))
    return 0


COMMAND = Command(
    synopsis="",
    summary="Remove build cache",
    run=run,
    maximum=0,
    flags=[
        boolean("all", "Remove all unused build cache, not just dangling ones", "a"),
        pruning.DRY_RUN,
        listing("filter", 'Provide filter values (e.g. "until=24h")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
        Flag("keep-storage", BYTES, "Amount of disk space to keep for cache", default=0),
    ],
)
