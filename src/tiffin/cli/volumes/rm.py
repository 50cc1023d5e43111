"""`volume rm`: remove volumes."""

from tiffin.cli.command import Command, Context
from tiffin.cli.each import for_each
from tiffin.cli.flags import Values, boolean
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Remove each."""
    query = {"force": values["force"]}
    return for_each(
        arguments, lambda name: context.api.delete(f"/volumes/{path_part(name)}", query)
    )


COMMAND = Command(
    synopsis="[OPTIONS] VOLUME [VOLUME...]",
    summary="Remove one or more volumes",
    run=run,
    minimum=1,
    flags=[boolean("force", "Force the removal of one or more volumes", "f")],
)
