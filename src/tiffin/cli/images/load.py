"""`load`: images from an archive."""

import sys

from tiffin.cli import progress
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.input_file import blocks, open_input
from tiffin.cli.platforms import as_object


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Send the archive and print what was loaded."""
    del arguments
    if not values["input"] and sys.stdin.isatty():
        raise CommandFailed("requested load from stdin, but stdin is empty")
    quiet = values["quiet"] or not sys.stdout.isatty()
    query = {"quiet": "1" if quiet else "0", "platform": as_object(values["platform"])}
    with open_input(values["input"]) as archive:
        response = context.api.call(
            "POST", "/images/load", query, stream=blocks(archive),
            headers={"Content-Type": "application/x-tar"},
        )  # fmt: skip
        progress.show(response.objects())
    return 0


COMMAND = Command(
    synopsis="[OPTIONS]",
    summary="Load an image from a tar archive or STDIN",
    run=run,
    maximum=0,
    flags=[
        string("input", "Read from tar archive file, instead of STDIN", "i"),
        string(
            "platform", 'Load only the given platform variant. Formatted as "os[/arch[/variant]]"'
        ),
        boolean("quiet", "Suppress the load output", "q"),
    ],
)
