"""`volume prune`: remove unused volumes."""

from tiffin.cli import pruning
from tiffin.cli.command import Command, Context
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    filters = parse_filters(values["filter"])
    if values["all"]:
        filters["all"] = {"true": True}
    kind = "all" if values["all"] else "anonymous"
    pruning.ask(
        values,
        f"WARNING! This will remove {kind} local volumes not used by at least one container.",
    )
    report = pruning.prune(context, values, "/volumes/prune", {"filters": filters})
    pruning.show(values, "Deleted Volumes:", report.get("VolumesDeleted") or [])
    pruning.show_total(values, report.get("SpaceReclaimed", 0))
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove unused local volumes",
    run=run,
    maximum=0,
    flags=[
        boolean("all", "Remove all unused volumes, not just anonymous ones", "a"),
        pruning.DRY_RUN,
        listing("filter", 'Provide filter values (e.g. "label=<label>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
    ],
)
