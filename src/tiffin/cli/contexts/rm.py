"""`context rm`: forget contexts."""

import os
import sys

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, boolean
from tiffin.client import context_store
from tiffin.client.contexts import ContextError, current_context


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Remove each; the one in use only with `--force`."""
    directory = context.settings.config
    current = current_context(
        directory, context.settings.context, host_given=False, environment=os.environ
    )
    failed = False
    for name in arguments:
        fault = ""
        if name == "default":
            fault = 'context "default" cannot be removed'
        elif name == current and not values["force"]:
            fault = f'context "{name}" is in use, set -f flag to force remove'
        else:
            try:
                context_store.remove(directory, name)
                print(name)
            except ContextError:
                fault = "" if values["force"] else f'context "{name}" does not exist'
        if fault:
            print(fault, file=sys.stderr)
            failed = True
    return int(failed)


COMMAND = Command(
    synopsis="CONTEXT [CONTEXT...]",
    summary="Remove one or more contexts",
    run=run,
    minimum=1,
    flags=[boolean("force", "Force the removal of a context in use", "f")],
)
