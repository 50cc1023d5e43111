"""`rm`: remove containers."""

from tiffin.cli.command import Command, Context
from tiffin.cli.each import for_each
from tiffin.cli.flags import Values, boolean
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Act on each container."""
    query = {"force": values["force"], "v": values["volumes"], "link": values["link"]}
    return for_each(
        arguments,
        lambda name: context.api.delete(f"/containers/{path_part(name.strip('/'))}", query),
    )


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
