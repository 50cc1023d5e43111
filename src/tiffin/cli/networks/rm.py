"""`network rm`: remove networks."""

import sys

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values, boolean
from tiffin.client.api import ApiError, path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Remove each; with `--force` those that do not exist are no fault."""
    failed = False
    for name in arguments:
        try:
            context.api.delete(f"/networks/{path_part(name)}")
            print(name)
        except ApiError as error:
            if values["force"] and error.status == 404:
                continue
            print(f"Error response from daemon: {error.message}", file=sys.stderr)
            failed = True
    return int(failed)


COMMAND = Command(
    synopsis="NETWORK [NETWORK...]",
    summary="Remove one or more networks",
    run=run,
    minimum=1,
    flags=[boolean("force", "Do not error if the network does not exist", "f")],
)
