"""`context show`: the name of the context in force."""

import os

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values
from tiffin.client.contexts import current_context


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Print it."""
    del values, arguments
    settings = context.settings
    print(current_context(settings.config, settings.context, bool(settings.hosts), os.environ))
    return 0


COMMAND = Command(synopsis="", summary="Print the name of the current context", run=run, maximum=0)
