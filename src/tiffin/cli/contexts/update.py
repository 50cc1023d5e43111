"""`context update`: change where a context points to."""

import sys

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.contexts.create import endpoint_of
from tiffin.cli.flags import ENDPOINT, Flag, Values, string
from tiffin.client import context_store
from tiffin.client.contexts import ContextError, load_context


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Replace what was given, keep the rest."""
    name, directory = arguments[0], context.settings.config
    try:
        stored = load_context(directory, name)
        if values["docker"]:
            endpoint, tls = endpoint_of(context, values["docker"], "")
        else:
            endpoint, tls = stored["Endpoints"]["docker"], {}
    except ContextError as error:
        raise CommandFailed(str(error)) from error
    description = stored.get("Metadata", {}).get("Description", "")
    if values.given("description"):
        description = values["description"]
    context_store.save(directory, name, description, endpoint, tls)
    print(name)
    print(f'Successfully updated context "{name}"', file=sys.stderr)
    return 0


COMMAND = Command(
    synopsis="[OPTIONS] CONTEXT",
    summary="Update a context",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        string("description", "Description of the context"),
        Flag("docker", ENDPOINT, "set the docker endpoint"),
    ],
)
