"""`logout`: forget the credentials of a registry."""

import sys

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.credential_store import save_config, store_for
from tiffin.cli.credentials import HUB
from tiffin.cli.flags import Values
from tiffin.cli.system.login import server_of


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Remove what is stored, in the file and in the helper, under every spelling of the server."""
    del values
    server = server_of(arguments)
    spellings = [server]
    if server != HUB:
        spellings += [server, f"http://{server}", f"https://{server}"]
    print(f"Removing login credentials for {server}", flush=True)
    config = context.config_file
    problems: list[str] = []
    for each in spellings:
        try:
            store_for(config, each).erase(each)
        except CommandFailed as error:
            problems.append(f"{each}: {error.message}")
    save_config(config, str(context.settings.config / "config.json"))
    if len(problems) == len(spellings):
        print("WARNING: could not erase credentials:", *problems, sep="\n", file=sys.stderr)
    return 0


COMMAND = Command(
    synopsis="[SERVER]",
    summary="Log out from a registry",
    run=run,
    maximum=1,
    details="If no server is specified, the default is defined by the daemon.",
)
