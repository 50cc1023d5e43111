"""`login`: keep credentials of a registry."""

import base64
import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.credentials import HUB
from tiffin.cli.flags import Values, boolean, string

INSECURE = "WARNING! Using --password via the CLI is insecure. Use --password-stdin."


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Ask what was not given, check it with the daemon, store it."""
    server = arguments[0].removeprefix("https://").rstrip("/") if arguments else HUB
    if values["password"] and values["password-stdin"]:
        raise CommandFailed(
            "conflicting options: cannot specify both --password and --password-stdin"
        )
    user, password = values["username"], values["password"]
    if values["password-stdin"]:
        if not user:
            raise CommandFailed("the --password-stdin option requires --username to be set")
        password = sys.stdin.read().rstrip("\r\n")
    elif password:
        print(INSECURE, file=sys.stderr)
    user = user or _ask("Username: ")
    password = password or getpass.getpass("Password: ")
    auth = {"username": user, "password": password, "serveraddress": server}
    answer = context.api.post("/auth", None, auth) or {}
    _store(context.settings.config, server, user, password, answer.get("IdentityToken", ""))
    print(answer.get("Status") or "Login Succeeded")
    return 0


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise CommandFailed("Error: Cannot perform an interactive login from a non TTY device")
    return input(prompt).strip()


def _store(directory: Path, server: str, user: str, password: str, token: str) -> None:
    config = read_config(directory)
    helper = config.get("credHelpers", {}).get(server) or config.get("credsStore")
    entry: dict[str, str] = {}
    if helper:
        import subprocess  # only users of helpers pay

        secret = {"ServerURL": server, "Username": "<token>" if token else user,
                  "Secret": token or password}  # fmt: skip
        subprocess.run(
            [f"docker-credential-{helper}", "store"],
            input=json.dumps(secret),
            text=True,
            check=True,
        )
    elif token:
        entry = {"auth": base64.b64encode(f"{user}:".encode()).decode(), "identitytoken": token}
    else:
        entry = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    config.setdefault("auths", {})[server] = entry
    write_config(directory, config)


def read_config(directory: Path) -> dict[str, Any]:
    """Return the client's configuration."""
    from tiffin.client.contexts import load_config

    return load_config(directory)


def write_config(directory: Path, config: dict[str, Any]) -> None:
    """Replace the client's configuration; only its owner may read it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = directory / "config.json"
    temporary = directory / f".config.json.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(config, file, indent=8)
    temporary.replace(path)


COMMAND = Command(
    synopsis="[OPTIONS] [SERVER]",
    summary="Authenticate to a registry",
    run=run,
    maximum=1,
    flags=[
        string("password", "Password or Personal Access Token (PAT)", "p"),
        boolean("password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"),
        string("username", "Username", "u"),
    ],
)
