"""`login`: keep credentials of a registry."""

import sys
from typing import Any

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.credential_store import Login, detect_helper, host_of, save_login, store_for
from tiffin.cli.credentials import HUB
from tiffin.cli.flags import Values, boolean, string
from tiffin.client.api import ApiError

INSECURE = "WARNING! Using --password via the CLI is insecure. Use --password-stdin."
EXISTING = """Authenticating with existing credentials... [Username: {user}]

 Info -> To login with a different account, run 'docker logout' followed by 'docker login'

"""


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Check what is known, given or asked for with the daemon, and keep it."""
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
    server = server_of(arguments)
    config = context.config_file
    detect_helper(config)
    known = None
    if not user and not password:
        known = store_for(config, server).get(server)
        if known is not None and known.user and known.password:
            message = _again(context, config, known)
            if message:
                print(message)
                return 0
    login = _ask(Login(server, user, password), known.user if known else "")
    print(_check(context, config, login))
    return 0


def server_of(arguments: list[str]) -> str:
    """Return the address that credentials are kept under: a host, or Docker Hub's."""
    if not arguments or arguments[0] == "docker.io":
        return HUB
    return arguments[0] if arguments[0] == HUB else host_of(arguments[0])


def _again(context: Context, config: dict[str, Any], known: Login) -> str:
    """Log in with what is stored; return "" if that is not valid any more."""
    print(EXISTING.format(user=known.user), file=sys.stderr)
    try:
        return _check(context, config, known)
    except ApiError as error:
        if error.status != 401:
            print(f"Login did not succeed, error: {error.message}", file=sys.stderr)
        else:
            print("Stored credentials invalid or expired", file=sys.stderr)
        return ""


def _check(context: Context, config: dict[str, Any], login: Login) -> str:
    """Have the daemon ask the registry, and keep what it accepts; return its answer."""
    body = {"username": login.user, "password": login.password, "serveraddress": login.server}
    answer = context.api.post("/auth", None, body) or {}
    token = str(answer.get("IdentityToken") or "")
    path = str(context.settings.config / "config.json")
    try:
        save_login(config, path, login._replace(password="", token=token) if token else login)
    except (CommandFailed, OSError) as error:
        raise CommandFailed(f"Error saving credentials: {error}") from error
    return str(answer.get("Status") or "Login Succeeded")


def _ask(login: Login, default: str) -> Login:
    """Ask for what was not given."""
    if login.user and login.password:
        return login
    if not sys.stdin.isatty():
        raise CommandFailed("Error: Cannot perform an interactive login from a non TTY device")
    user, password = login.user, login.password
    if not user:
        prompt = f"Username ({default}): " if default else "Username: "
        user = input(prompt).strip() or default
        if not user:
            raise CommandFailed("Error: Non-null Username Required")
    if not password:
        import getpass

        print()
        password = getpass.getpass("Password: ")
        if not password:
            raise CommandFailed("Error: Password Required")
    return login._replace(user=user, password=password)


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
    details="Defaults to Docker Hub if no server is specified.",
)
