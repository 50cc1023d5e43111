"""`system empty-trash`: free what removed things still take."""

from tiffin.cli import human
from tiffin.cli.command import Command, Context
from tiffin.cli.each import confirm
from tiffin.cli.flags import Values, boolean


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask, destroy, and say how much that freed."""
    if not values["force"]:
        print("WARNING! What was removed cannot be brought back afterwards.")
        confirm("Are you sure you want to continue?")
    query = {"operation": arguments[0]} if arguments else {}
    report = context.api.delete("/trash", query)
    print(f"Total reclaimed space: {human.size(report['SpaceReclaimed'])}")
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] [OPERATION]",
    summary="Free the space of what was removed and can still be undone",
    run=run,
    maximum=1,
    flags=[boolean("force", "Do not prompt for confirmation", "f")],
)
