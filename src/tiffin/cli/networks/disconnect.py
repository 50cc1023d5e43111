"""`network disconnect`: unplug a container from a network."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, boolean
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Disconnect."""
    network, container = arguments
    body = {"Container": container, "Force": values["force"]}
    context.api.post(f"/networks/{path_part(network)}/disconnect", None, body)
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] NETWORK CONTAINER",
    summary="Disconnect a container from a network",
    run=run,
    minimum=2,
    maximum=2,
    flags=[boolean("force", "Force the container to disconnect from a network", "f")],
)
