"""`image prune`: remove unused images."""

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.each import confirm
from tiffin.cli.filters import parse_filters
from tiffin.cli.flags import FILTER, Values, boolean, listing


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, remove, and say what was removed."""
    del arguments
    filters = parse_filters(values["filter"])
    filters["dangling"] = {"false" if values["all"] else "true": True}
    if not values["force"]:
        what = (
            "all images without at least one container associated to them."
            if values["all"]
            else "all dangling images."
        )
        print(f"WARNING! This will remove {what}")
        confirm("Are you sure you want to continue?")
    report = context.api.post("/images/prune", {"filters": filters})
    deleted = report.get("ImagesDeleted") or []
    if deleted:
        print("Deleted Images:")
        for item in deleted:
            kind = "deleted" if "Deleted" in item else "untagged"
            print(f"{kind}: {item.get('Deleted') or item.get('Untagged')}")
        print()
    print(f"Total reclaimed space: {human.size(report.get('SpaceReclaimed', 0))}")
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Remove unused images",
    run=run,
    maximum=0,
    flags=[
        boolean("all", "Remove all unused images, not just dangling ones", "a"),
        listing("filter", 'Provide filter values (e.g. "until=<timestamp>")', kind=FILTER),
        boolean("force", "Do not prompt for confirmation", "f"),
    ],
)
