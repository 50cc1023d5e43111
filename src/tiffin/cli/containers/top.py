"""`top`: the processes of a container."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values
from tiffin.cli.table import align
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print a table with the columns that `ps` was asked for."""
    del values
    query = {"ps_args": " ".join(arguments[1:])}
    answer = context.api.get(f"/containers/{path_part(arguments[0])}/top", query)
    for line in align([answer["Titles"], *answer["Processes"]], minimum=20, gap=3):
        print(line)
    return 0


COMMAND = Command(
    synopsis="CONTAINER [ps OPTIONS]",
    summary="Display the running processes of a container",
    run=run,
    minimum=1,
    interspersed=False,
)
