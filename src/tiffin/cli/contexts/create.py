"""`context create`: store where a daemon is."""

import re
import sys
from pathlib import Path
from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import ENDPOINT, Flag, Values, string
from tiffin.client import context_store
from tiffin.client.contexts import ContextError, load_context

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.+-]+")
KEYS = {"from", "host", "ca", "cert", "key", "skip-tls-verify"}


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Create and print the name."""
    name, directory = arguments[0], context.settings.config
    if name == "default":
        raise CommandFailed('"default" is a reserved context name')
    if not NAME.fullmatch(name):
        raise CommandFailed(f'context name "{name}" is invalid, names are validated against regexp '
                            f'"^{NAME.pattern}$"')  # fmt: skip
    if context_store.exists(directory, name):
        raise CommandFailed(f'context "{name}" already exists')
    try:
        endpoint, tls = endpoint_of(context, values["docker"], values["from"])
    except ContextError as error:
        raise CommandFailed(str(error)) from error
    context_store.save(directory, name, values["description"], endpoint, tls)
    print(name)
    print(f'Successfully created context "{name}"', file=sys.stderr)
    return 0


def endpoint_of(
    context: Context, texts: list[str], origin: str
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the endpoint and PEM files that `--docker` and `--from` describe."""
    given = dict(text.partition("=")[::2] for text in texts)
    unknown = set(given) - KEYS
    if unknown:
        raise CommandFailed(f"unrecognized config keys: {', '.join(sorted(unknown))}")
    origin = origin or given.get("from", "")
    if origin:
        stored = load_context(context.settings.config, origin)
        return stored["Endpoints"]["docker"], context_store.tls_files(
            context.settings.config, origin
        )
    endpoint = {
        "Host": given.get("host", ""),
        "SkipTLSVerify": given.get("skip-tls-verify", "") in ("1", "true"),
    }
    tls = {
        p: Path(given[p]).expanduser().read_bytes() for p in context_store.TLS_NAMES if p in given
    }
    return endpoint, tls


COMMAND = Command(
    synopsis="[OPTIONS] CONTEXT",
    summary="Create a context",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        string("description", "Description of the context"),
        Flag("docker", ENDPOINT, "set the docker endpoint"),
        string("from", "create context from a named context"),
    ],
)
