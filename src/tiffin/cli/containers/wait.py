"""`wait`: block until containers stop."""

from tiffin.cli.command import Command, Context
from tiffin.cli.each import for_each
from tiffin.cli.flags import Values
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print the exit code of each, in order."""
    del values

    def wait(name: str) -> None:
        print(context.api.post(f"/containers/{path_part(name)}/wait")["StatusCode"], flush=True)

    return for_each(arguments, wait, echo=False)


COMMAND = Command(
    synopsis="CONTAINER [CONTAINER...]",
    summary="Block until one or more containers stop, then print their exit codes",
    run=run,
    minimum=1,
)
