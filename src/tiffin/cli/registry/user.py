"""`registry user`: users of an htpasswd file."""

import sys
from getpass import getpass

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Flag, Values, boolean
from tiffin.errors import TiffinError

_FLAGS: list[Flag] = [
    boolean("password-stdin", "Take the password from stdin"),
    boolean("remove", "Remove the user"),
]


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Add, change or remove."""
    del context
    from pathlib import Path

    from tiffin.distribution.access.htpasswd import set_password

    file, user = arguments
    try:
        set_password(Path(file), user, None if values["remove"] else _password(values))
    except (TiffinError, OSError) as error:
        raise CommandFailed(str(error)) from error
    return 0


def _password(values: Values) -> str:
    if values["password-stdin"]:
        return sys.stdin.read().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise CommandFailed("Cannot ask for a password without a terminal: use --password-stdin")
    password = getpass("Password: ")
    if password != getpass("Password again: "):
        raise CommandFailed("The passwords differ")
    return password


COMMAND = Command(
    synopsis="[OPTIONS] HTPASSWD_FILE USER",
    summary="Add a user to an htpasswd file, or change the password",
    run=run,
    flags=_FLAGS,
    minimum=2,
    maximum=2,
)
