"""`run`: create, attach, start and wait for a container."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from tiffin.cli import terminal
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.containers.create import create
from tiffin.cli.containers.options import FLAGS
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.session import Session, interactive, parse_detach_keys
from tiffin.client.api import Api, ApiError
from tiffin.client.http import Response

NOT_FOUND_WORDS = ("executable file not found", "no such file or directory",
                   "system cannot find the file specified")  # fmt: skip
NOT_EXECUTABLE_WORDS = ("permission denied", "is a directory", "not a directory")
DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Run a container; the exit code is its own."""
    if values["detach"] and values["attach"]:
        raise CommandFailed("conflicting options: cannot specify both --attach and --detach")
    wants_terminal = values["tty"] and values["interactive"] and not values["detach"]
    if wants_terminal and not terminal.is_terminal(sys.stdin.fileno()):
        raise CommandFailed("the input device is not a TTY", 1)
    identifier, body = create(context, values, arguments)
    if values["detach"]:
        start(context, values, identifier)
        print(identifier)
        return 0
    return _attached(context, values, identifier, body)


def start(context: Context, values: Values, identifier: str) -> None:
    """Start the container, printing every step with `--explain`; CommandFailed."""
    try:
        if values["explain"]:
            _explain(context.api, identifier)
        else:
            context.api.post(f"/containers/{identifier}/start")
    except ApiError as error:
        raise CommandFailed(
            f"tiffin: Error response from daemon: {error.message}\n\n"
            "Run 'tiffin run --help' for more information",
            exit_code_of_start(error.message),
        ) from error


def exit_code_of_start(message: str) -> int:
    """Return Docker's exit code for a container that could not be started."""
    lowered = message.lower()
    if any(word in lowered for word in NOT_FOUND_WORDS):
        return 127
    if any(word in lowered for word in NOT_EXECUTABLE_WORDS):
        return 126
    return 125


def _explain(api: Api, identifier: str) -> None:
    response = api.call("POST", f"/containers/{identifier}/start", {"explain": True})
    for step in response.objects():
        if "error" in step:
            raise ApiError(500, step["error"])
        if "step" in step:
            print(f"{step['step']}\n    {step.get('call', '')}".rstrip(), file=sys.stderr)


def _attached(context: Context, values: Values, identifier: str, body: dict[str, Any]) -> int:
    api = context.api
    keys_text = values["detach-keys"] or context.config_file.get("detachKeys", "")
    tty = body["Tty"]
    query = {
        "stream": True, "stdin": body["AttachStdin"], "stdout": body["AttachStdout"],
        "stderr": body["AttachStderr"], "detachKeys": keys_text,
    }  # fmt: skip
    keys = parse_detach_keys(keys_text or DEFAULT_DETACH_KEYS)
    connection, early = api.hijack(f"/containers/{identifier}/attach", query)
    waiting = _wait(api, identifier, removed=values["rm"])
    session = Session(connection, early, framed=not tty, detach_keys=keys if tty else b"")
    try:
        start(context, values, identifier)
        forwards = values["sig-proxy"] and not tty
        with (
            interactive(tty=tty, stdin=body["AttachStdin"]),
            resizing(api, f"/containers/{identifier}/resize") if tty else contextlib.nullcontext(),
            forwarded_signals(api, identifier) if forwards else contextlib.nullcontext(),
        ):
            session.pump(stdin=body["AttachStdin"])
    finally:
        connection.close()
    if session.detached:
        return 0
    return _exit_code(waiting)


def _wait(api: Api, identifier: str, *, removed: bool) -> Response:
    """Ask before the start, so that no exit is missed; the answer is read at the end."""
    condition = "removed" if removed else "next-exit"
    return api.call("POST", f"/containers/{identifier}/wait", {"condition": condition})


def _exit_code(waiting: Response) -> int:
    answer = waiting.json()
    error = (answer.get("Error") or {}).get("Message")
    if error:
        print(f"Error waiting for container: {error}", file=sys.stderr)
        return 125
    return int(answer["StatusCode"])


def resizing(api: Api, path: str) -> contextlib.AbstractContextManager[None]:
    """Keep the container's terminal as large as ours."""

    def tell(rows: int, columns: int) -> None:
        with contextlib.suppress(ApiError):
            api.post(path, {"h": rows, "w": columns})

    return terminal.on_resize(tell)


@contextlib.contextmanager
def forwarded_signals(api: Api, identifier: str) -> Iterator[None]:
    """Send the signals that we get to the container."""

    def forward(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name.removeprefix("SIG")
        with contextlib.suppress(ApiError):
            api.post(f"/containers/{identifier}/kill", {"signal": name})

    before: dict[signal.Signals, Any] = {}
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1,
                signal.SIGUSR2, signal.SIGALRM, signal.SIGCONT):  # fmt: skip
        before[one] = signal.signal(one, forward)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


COMMAND = Command(
    synopsis="[OPTIONS] IMAGE [COMMAND] [ARG...]",
    summary="Create and run a new container from an image",
    run=run,
    flags=[
        *FLAGS,
        boolean("detach", "Run container in background and print container ID", "d"),
        string("detach-keys", "Override the key sequence for detaching a container"),
        boolean("sig-proxy", "Proxy received signals to the process", default=True),
        boolean("explain", "Print every step of the start with its kernel call"),
    ],
    minimum=1,
    interspersed=False,
    failure_code=125,
    runs=True,
)
