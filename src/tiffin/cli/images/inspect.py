"""`image inspect`: everything about images."""

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, string
from tiffin.cli.inspecting import inspect
from tiffin.cli.platforms import as_object
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print JSON, or a template per image."""
    query = {"platform": as_object(values["platform"])}
    return inspect(
        arguments,
        lambda name: context.api.get(f"/images/{path_part(name)}/json", query),
        values["format"],
    )


COMMAND = Command(
    synopsis="[OPTIONS] IMAGE [IMAGE...]",
    summary="Display detailed information on one or more images",
    run=run,
    minimum=1,
    flags=[
        string("format", "Format output using a custom template", "f"),
        string("platform", "Inspect a specific platform of the multi-platform image"),
    ],
)
