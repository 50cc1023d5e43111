"""`restart`: restart containers."""

from tiffin.cli.command import Command, Context
from tiffin.cli.each import for_each
from tiffin.cli.flags import INT, Flag, Values, integer, string
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Act on each container."""
    timeout = values["timeout"] if values["timeout"] is not None else values["time"]
    query = {"signal": values["signal"], "t": timeout}
    return for_each(
        arguments, lambda name: context.api.post(f"/containers/{path_part(name)}/restart", query)
    )


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Restart one or more containers",
    run=run,
    minimum=1,
    flags=[
        string("signal", "Signal to send to the container", "s"),
        integer("timeout", "Seconds to wait before killing the container", "t"),
        Flag("time", INT, "Seconds to wait before killing the container", hidden=True),
    ],
)
