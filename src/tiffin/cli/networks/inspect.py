"""`network inspect`: everything about networks."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.inspecting import inspect
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print JSON, or a template per network."""
    query = {"verbose": values["verbose"]}
    return inspect(
        arguments,
        lambda name: context.api.get(f"/networks/{path_part(name)}", query),
        values["format"],
    )


COMMAND = Command(
    synopsis="[OPTIONS] NETWORK [NETWORK...]",
    summary="Display detailed information on one or more networks",
    run=run,
    minimum=1,
    flags=[
        string("format", "Format output using a custom template", "f"),
        boolean("verbose", "Verbose output for diagnostics", "v"),
    ],
)
