"""`diff`: what a container changed in its filesystem."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values
from tiffin.client.api import path_part

KINDS = "CAD"


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print one path a line with its kind."""
    del values
    for change in context.api.get(f"/containers/{path_part(arguments[0])}/changes") or []:
        print(f"{KINDS[change['Kind']]} {change['Path']}")
    return 0


COMMAND = Command(
    synopsis="CONTAINER",
    summary="Inspect changes to files or directories on a container's filesystem",
    run=run,
    minimum=1,
    maximum=1,
)
