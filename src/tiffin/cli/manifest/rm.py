"""`manifest rm`: forget lists that were being put together."""

import sys

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values
from tiffin.cli.manifest.local import Lists, parse


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Remove each; what is not there costs the exit code alone."""
    del values
    lists = Lists(context.settings.config)
    code = 0
    for text in arguments:
        try:
            lists.remove(parse(text))
        except CommandFailed as error:
            print(error.message, file=sys.stderr)
            code = 1
    return code


COMMAND = Command(
    synopsis="MANIFEST_LIST [MANIFEST_LIST...]",
    summary="Delete one or more manifest lists from local storage",
    run=run,
    minimum=1,
)
