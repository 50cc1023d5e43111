"""`rm`: remove containers."""

from tiffin.cli.command import Command, Context
from tiffin.cli.each import for_each
from tiffin.cli.flags import Values, boolean
from tiffin.client.api import ApiError, path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Act on each container."""
    query = {"force": values["force"], "v": values["volumes"], "link": values["link"]}
    refused = False

    def remove(name: str) -> None:
        nonlocal refused
        try:
            context.api.delete(f"/containers/{path_part(name.strip('/'))}", query)
        except ApiError as error:
            refused = refused or error.status != 404
            raise

    failed = for_each(arguments, remove)
    return int(failed and (refused or not values["force"]))


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Remove one or more containers",
    run=run,
    minimum=1,
    flags=[
        boolean("force", "Force the removal of a running container (uses SIGKILL)", "f"),
        boolean("link", "Remove the specified link", "l"),
        boolean("volumes", "Remove anonymous volumes associated with the container", "v"),
    ],
)
