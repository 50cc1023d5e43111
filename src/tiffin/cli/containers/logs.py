"""`logs`: what a container wrote."""

import os

from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values, boolean, string
from tiffin.cli.timestamps import unix_time
from tiffin.client.api import path_part
from tiffin.wire.stdcopy import STDERR, Decoder


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Copy the log to standard output and standard error."""
    name = path_part(arguments[0])
    container = context.api.get(f"/containers/{name}/json")
    since, until = (_time(values, flag) for flag in ("since", "until"))
    query = {
        "stdout": True, "stderr": True, "follow": values["follow"], "since": since, "until": until,
        "timestamps": values["timestamps"], "details": values["details"],
        "tail": values["tail"],
    }  # fmt: skip
    response = context.api.call("GET", f"/containers/{name}/logs", query)
    decoder = None if container["Config"]["Tty"] else Decoder()
    for block in response.blocks():
        if decoder is None:
            _write(1, block)
            continue
        for piece in decoder.feed(block):
            _write(2 if piece.stream == STDERR else 1, piece.data)
    return 0


def _time(values: Values, flag: str) -> str:
    try:
        return unix_time(values[flag])
    except ValueError as error:
        raise CommandFailed(f'invalid value for "{flag}": {error}') from error


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER",
    summary="Fetch the logs of a container",
    run=run,
    minimum=1,
    maximum=1,
    flags=[
        boolean("details", "Show extra details provided to logs"),
        boolean("follow", "Follow log output", "f"),
        string("since", 'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative '
               '(e.g. "42m" for 42 minutes)'),
        string("tail", "Number of lines to show from the end of the logs", "n", "all"),
        boolean("timestamps", "Show timestamps", "t"),
        string("until", 'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative '
               '(e.g. "42m" for 42 minutes)'),
    ],
)  # fmt: skip
