"""`kill`: kill running containers."""

from tiffin.cli.command import Command, Context
from tiffin.cli.each import for_each
from tiffin.cli.flags import Values, string
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Act on each container."""
    query = {"signal": values["signal"]}
    return for_each(
        arguments, lambda name: context.api.post(f"/containers/{path_part(name)}/kill", query)
    )


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Kill one or more running containers",
    run=run,
    minimum=1,
    flags=[string("signal", "Signal to send to the container", "s")],
)
