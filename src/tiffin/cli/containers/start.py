"""`start`: start stopped containers, attached or not."""

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.containers.run import (
    DEFAULT_DETACH_KEYS,
    exit_code_of_start,
    forwarded_signals,
    resizing,
)
from tiffin.cli.each import failures
from tiffin.cli.flags import STRING, Flag, Values, boolean, string
from tiffin.cli.session import Session, interactive, parse_detach_keys
from tiffin.client.api import ApiError, path_part

_EXPERIMENTAL = {
    "checkpoint": "Restore from this checkpoint",
    "checkpoint-dir": "Use a custom checkpoint storage directory",
}


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Start each; with `--attach` or `--interactive` join the only one."""
    for name in _EXPERIMENTAL:
        if values.given(name):
            raise CommandFailed(
                f'"--{name}" is only supported on a Docker daemon with experimental features enabled'
            )
    if not (values["attach"] or values["interactive"]):
        failed = failures(
            arguments, lambda name: context.api.post(f"/containers/{path_part(name)}/start")
        )
        if failed:
            raise CommandFailed(f"Error: failed to start containers: {', '.join(failed)}")
        return 0
    if len(arguments) > 1:
        raise CommandFailed("you cannot start and attach multiple containers at once")
    return _attached(context, values, arguments[0])


def _attached(context: Context, values: Values, name: str) -> int:
    api = context.api
    container = api.get(f"/containers/{path_part(name)}/json")
    identifier, tty = container["Id"], container["Config"]["Tty"]
    stdin = values["interactive"] and container["Config"]["OpenStdin"]
    keys_text = values["detach-keys"] or context.config_file.get("detachKeys", "")
    query = {"stream": True, "stdin": stdin, "stdout": True, "stderr": True,
             "detachKeys": keys_text}  # fmt: skip
    connection, early = api.hijack(f"/containers/{identifier}/attach", query)
    condition = "removed" if container["HostConfig"]["AutoRemove"] else "next-exit"
    waiting = api.call("POST", f"/containers/{identifier}/wait", {"condition": condition})
    keys = parse_detach_keys(keys_text or DEFAULT_DETACH_KEYS)
    session = Session(connection, early, framed=not tty, detach_keys=keys if tty else b"")
    try:
        try:
            api.post(f"/containers/{identifier}/start")
        except ApiError as error:
            message = f"Error response from daemon: {error.message}"
            raise CommandFailed(message, exit_code_of_start(error.message)) from error
        with interactive(tty=tty, stdin=stdin):
            if tty:
                with resizing(api, f"/containers/{identifier}/resize"):
                    session.pump(stdin=stdin)
            else:
                with forwarded_signals(api, identifier):
                    session.pump(stdin=stdin)
    finally:
        connection.close()
    return 0 if session.detached else int(waiting.json()["StatusCode"])


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER [CONTAINER...]",
    summary="Start one or more stopped containers",
    run=run,
    minimum=1,
    flags=[
        boolean("attach", "Attach STDOUT/STDERR and forward signals", "a"),
        *(Flag(name, STRING, summary, hidden=True) for name, summary in _EXPERIMENTAL.items()),
        string("detach-keys", "Override the key sequence for detaching a container"),
        boolean("interactive", "Attach container's STDIN", "i"),
    ],
)
