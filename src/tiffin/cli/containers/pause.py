"""`pause`: freeze containers."""

from tiffin.cli.command import Command, Context
from tiffin.cli.each import for_each
from tiffin.cli.flags import Values
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Act on each container."""
    del values
    return for_each(
        arguments, lambda name: context.api.post(f"/containers/{path_part(name)}/pause")
    )


COMMAND = Command(
    synopsis="CONTAINER [CONTAINER...]",
    summary="Pause all processes within one or more containers",
    run=run,
    minimum=1,
)
