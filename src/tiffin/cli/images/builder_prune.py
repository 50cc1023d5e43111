"""`builder prune`: remove the build cache."""

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.each import confirm
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import BYTES, FILTER, Flag, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    if not values["force"]:
        what = "all" if values["all"] else "all dangling"
        confirm(f"WARNING! This will remove {what} build cache. Are you sure you want to continue?")
    query = {"all": values["all"], "filters": parse_filters(values["filter"]),
             "keep-storage": values["keep-storage"] or None}  # fmt: skip
    report = context.api.post("/build/prune", query)
    deleted = report.get("CachesDeleted") or []
    if deleted:
        print("Deleted build cache objects:", *deleted, "", sep="\n")
    print(f"Total reclaimed space: {human.size(report.get('SpaceReclaimed', 0))}")
    return 0


COMMAND = Command(
    synopsis="",
    summary="Remove build cache",
    run=run,
    maximum=0,
    flags=[
        boolean("all", "Remove all unused build cache, not just dangling ones", "a"),
        listing("filter", 'Provide filter values (e.g. "until=24h")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
        Flag("keep-storage", BYTES, "Amount of disk space to keep for cache", default=0),
    ],
)
