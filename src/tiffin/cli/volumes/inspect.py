"""`volume inspect`: everything about volumes."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, string
from tiffin.cli.inspecting import inspect
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print JSON, or a template per volume."""
    return inspect(
        arguments, lambda name: context.api.get(f"/volumes/{path_part(name)}"), values["format"]
    )


COMMAND = Command(
    synopsis="[OPTIONS] VOLUME [VOLUME...]",
    summary="Display detailed information on one or more volumes",
    run=run,
    minimum=1,
    flags=[string("format", "Format output using a custom template", "f")],
)
