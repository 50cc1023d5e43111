"""`exec`: run another process in a running container."""

import contextlib
import sys

from tiffin.cli import terminal
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.containers.kinds import ENVIRONMENT
from tiffin.cli.containers.run import DEFAULT_DETACH_KEYS, exit_code_of_start, resizing
from tiffin.cli.flags import Values, boolean, listing, string
from tiffin.cli.parse_env import environment
from tiffin.cli.session import ESCAPED, Session, interactive, parse_detach_keys
from tiffin.client.api import ApiError, path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Run it; the exit code is its own."""
    tty, detach = values["tty"], values["detach"]
    stdin = values["interactive"] and not detach
    if tty and stdin and not terminal.is_terminal(sys.stdin.fileno()):
        raise CommandFailed("the input device is not a TTY", 1)
    keys_text = values["detach-keys"] or context.config_file.get("detachKeys", "")
    rows, columns = terminal.size() if tty else (0, 0)
    body = {
        "AttachStdin": stdin, "AttachStdout": not detach, "AttachStderr": not detach, "Tty": tty,
        "DetachKeys": keys_text, "User": values["user"], "Privileged": values["privileged"],
        "WorkingDir": values["workdir"], "Cmd": arguments[1:],
        "Env": environment(values["env"], values["env-file"]),
    }  # fmt: skip
    if rows and columns:
        body["ConsoleSize"] = [rows, columns]
    name = path_part(arguments[0])
    identifier = context.api.post(f"/containers/{name}/exec", None, body)["Id"]
    start_body = {"Detach": detach, "Tty": tty}
    if rows and columns:
        start_body["ConsoleSize"] = [rows, columns]
    path = f"/exec/{identifier}"
    if detach:
        context.api.post(f"{path}/start", None, start_body)
        return 0
    try:
        connection, early = context.api.hijack(f"{path}/start", body=start_body)
    except ApiError as error:
        raise CommandFailed(
            f"Error response from daemon: {error.message}",
            max(exit_code_of_start(error.message), 1),
        ) from error
    keys = parse_detach_keys(keys_text or DEFAULT_DETACH_KEYS)
    session = Session(connection, early, framed=not tty, detach_keys=keys if tty else b"")
    try:
        with (
            interactive(tty=tty, stdin=stdin),
            resizing(context.api, f"{path}/resize") if tty else contextlib.nullcontext(),
        ):
            session.pump(stdin=stdin)
    finally:
        connection.close()
    if session.detached:
        raise CommandFailed(ESCAPED)
    return int(context.api.get(f"{path}/json")["ExitCode"] or 0)


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER COMMAND [ARG...]",
    summary="Execute a command in a running container",
    run=run,
    minimum=2,
    interspersed=False,
    flags=[
        boolean("detach", "Detached mode: run command in the background", "d"),
        string("detach-keys", "Override the key sequence for detaching a container"),
        listing("env", "Set environment variables", "e", ENVIRONMENT),
        listing("env-file", "Read in a file of environment variables"),
        boolean("interactive", "Keep STDIN open even if not attached", "i"),
        boolean("privileged", "Give extended privileges to the command"),
        boolean("tty", "Allocate a pseudo-TTY", "t"),
        string("user", "Username or UID (format: <name|uid>[:<group|gid>])", "u"),
        string("workdir", "Working directory inside the container", "w"),
    ],
)
