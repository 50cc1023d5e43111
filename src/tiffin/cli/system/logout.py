"""`logout`: forget the credentials of a registry."""

from tiffin.cli.command import Command, Context
from tiffin.cli.credentials import HUB
from tiffin.cli.flags import Values
from tiffin.cli.system.login import read_config, write_config


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Remove what is stored, in the file and in the helper."""
    del values
    server = arguments[0].removeprefix("https://").rstrip("/") if arguments else HUB
    config = read_config(context.settings.config)
    known = server in config.get("auths", {})
    helper = config.get("credHelpers", {}).get(server) or config.get("credsStore")
    print(f"Removing login credentials for {server}")
    if not known and not helper:
        return 0
    if helper:
        import subprocess  # only users of helpers pay

        subprocess.run(
            [f"docker-credential-{helper}", "erase"], input=server, text=True, check=False
        )
    config.get("auths", {}).pop(server, None)
    write_config(context.settings.config, config)
    return 0


COMMAND = Command(synopsis="[SERVER]", summary="Log out from a registry", run=run, maximum=1)
