"""`rename`: give a container another name."""

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values
from tiffin.client.api import ApiError, path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Rename one container."""
    del values
    old, new = (name.strip() for name in arguments)
    if not old or not new:
        raise CommandFailed("Error: Neither old nor new names may be empty")
    try:
        context.api.post(f"/containers/{path_part(old)}/rename", {"name": new})
    except ApiError as error:
        raise CommandFailed(
            f"Error response from daemon: {error.message}\n"
            f"Error: failed to rename container named {old}"
        ) from error
    return 0


COMMAND = Command(
    synopsis="CONTAINER NEW_NAME", summary="Rename a container", run=run, minimum=2, maximum=2
)
