"""`export`: a container's filesystem as a tar archive."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, string
from tiffin.cli.output_file import check_destination, write_stream
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Write the archive."""
    check_destination(values["output"], "export container")
    response = context.api.call("GET", f"/containers/{path_part(arguments[0])}/export")
    write_stream(response.blocks(), values["output"])
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER",
    summary="Export a container's filesystem as a tar archive",
    run=run,
    minimum=1,
    maximum=1,
    flags=[string("output", "Write to a file, instead of STDOUT", "o")],
)
