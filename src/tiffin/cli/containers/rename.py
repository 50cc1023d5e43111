"""`rename`: give a container another name."""

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Rename one container."""
    del values
    old, new = (name.strip() for name in arguments)
    if not old or not new:
        raise CommandFailed("Error: Neither old nor new names may be empty")
    context.api.post(f"/containers/{path_part(old)}/rename", {"name": new})
    return 0


COMMAND = Command(
    synopsis="CONTAINER NEW_NAME", summary="Rename a container", run=run, minimum=2, maximum=2
)
