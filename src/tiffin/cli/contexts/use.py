"""`context use`: choose the context for all commands to come."""

import os
import sys

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.credential_store import save_config
from tiffin.cli.flags import Values
from tiffin.client.contexts import ContextError, load_context


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Write it into the client's configuration."""
    del values
    name, directory = arguments[0], context.settings.config
    config = context.config_file
    if name == "default":
        config.pop("currentContext", None)
    else:
        try:
            load_context(directory, name)
        except ContextError as error:
            raise CommandFailed(str(error)) from error
        config["currentContext"] = name
    save_config(config, str(directory / "config.json"))
    print(name)
    print(f'Current context is now "{name}"', file=sys.stderr)
    if os.environ.get("DOCKER_HOST") and name != "default":
        context.warn('DOCKER_HOST environment variable overrides the active context. To use "'
                     f'{name}", either set the global --context flag, or unset DOCKER_HOST.')  # fmt: skip
    return 0


COMMAND = Command(
    synopsis="CONTEXT", summary="Set the current docker context", run=run, minimum=1, maximum=1
)
