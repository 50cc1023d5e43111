"""`container inspect`: everything about containers."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.inspecting import inspect
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print JSON, or a template per container."""
    query = {"size": values["size"]}
    return inspect(
        arguments,
        lambda name: context.api.get(f"/containers/{path_part(name)}/json", query),
        values["format"],
    )


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Display detailed information on one or more containers",
    run=run,
    minimum=1,
    flags=[
        string("format", "Format output using a custom template", "f"),
        boolean("size", "Display total file sizes", "s"),
    ],
)
