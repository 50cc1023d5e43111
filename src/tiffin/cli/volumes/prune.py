"""`volume prune`: remove unused volumes."""

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.each import confirm
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    filters = parse_filters(values["filter"])
    if values["all"]:
        filters["all"] = {"true": True}
    if not values["force"]:
        kind = "all" if values["all"] else "anonymous"
        print(f"WARNING! This will remove {kind} local volumes not used by at least one container.")
        confirm("Are you sure you want to continue?")
    report = context.api.post("/volumes/prune", {"filters": filters})
    deleted = report.get("VolumesDeleted") or []
    if deleted:
        print("Deleted Volumes:", *deleted, "", sep="\n")
    print(f"Total reclaimed space: {human.size(report.get('SpaceReclaimed', 0))}")
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove unused local volumes",
    run=run,
    maximum=0,
    flags=[
        boolean("all", "Remove all unused volumes, not just anonymous ones", "a"),
        listing("filter", 'Provide filter values (e.g. "label=<label>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
    ],
)
