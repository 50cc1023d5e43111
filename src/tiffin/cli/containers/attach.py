"""`attach`: join the streams of a running container."""

import contextlib
import sys
from typing import Any

from tiffin.cli import terminal
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.containers.run import DEFAULT_DETACH_KEYS, forwarded_signals, resizing
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.session import ESCAPED, Session, interactive, parse_detach_keys
from tiffin.client.api import path_part


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Attach until the container ends; the exit code is its own."""
    name = path_part(arguments[0])
    container = context.api.get(f"/containers/{name}/json")
    state = container["State"]
    if not state["Running"]:
        raise CommandFailed("You cannot attach to a stopped container, start it first")
    if state["Paused"]:
        raise CommandFailed("You cannot attach to a paused container, unpause it first")
    if state["Restarting"]:
        raise CommandFailed("You cannot attach to a restarting container, wait until it is running")
    return attach(context, container, values, stdin=not values["no-stdin"])


def attach(context: Context, container: dict[str, Any], values: Values, *, stdin: bool) -> int:
    """Pump one session of an inspected, running container."""
    api, identifier = context.api, container["Id"]
    tty = container["Config"]["Tty"]
    stdin = stdin and container["Config"]["OpenStdin"]
    if tty and stdin and not terminal.is_terminal(sys.stdin.fileno()):
        raise CommandFailed("the input device is not a TTY", 1)
    keys_text = values["detach-keys"] or context.config_file.get("detachKeys", "")
    query = {"stream": True, "stdin": stdin, "stdout": True, "stderr": True,
             "detachKeys": keys_text}  # fmt: skip
    waiting = api.call("POST", f"/containers/{identifier}/wait")
    connection, early = api.hijack(f"/containers/{identifier}/attach", query)
    keys = parse_detach_keys(keys_text or DEFAULT_DETACH_KEYS)
    session = Session(connection, early, framed=not tty, detach_keys=keys if tty else b"")
    forwards = values["sig-proxy"] and not tty
    try:
        with (
            interactive(tty=tty, stdin=stdin),
            resizing(api, f"/containers/{identifier}/resize") if tty else contextlib.nullcontext(),
            forwarded_signals(api, identifier) if forwards else contextlib.nullcontext(),
        ):
            session.pump(stdin=stdin)
    finally:
        connection.close()
    if session.detached:
        raise CommandFailed(ESCAPED)
    return int(waiting.json()["StatusCode"])


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER",
    summary="Attach local standard input, output, and error streams to a running container",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        string("detach-keys", "Override the key sequence for detaching a container"),
        boolean("no-stdin", "Do not attach STDIN"),
        boolean("sig-proxy", "Proxy all received signals to the process", default=True),
    ],
)
