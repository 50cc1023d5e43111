"""`system dial-stdio`: the daemon's API on standard input and output, for ssh."""

import os
import select
import socket

from tiffin.cli.command import Command, Context
from tiffin.cli.flags import Values
from tiffin.client.http import connect

BLOCK = 1 << 16


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Copy both ways until the daemon closes its side."""
    del values, arguments
    with connect(context.api.endpoint) as daemon:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(daemon, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == 0:
                    data = os.read(0, BLOCK)
                    if data:
                        daemon.sendall(data)
                    else:
                        poll.unregister(0)
                        daemon.shutdown(socket.SHUT_WR)
                else:
                    data = daemon.recv(BLOCK)
                    if not data:
                        return 0
                    view = memoryview(data)
                    while view:
                        view = view[os.write(1, view) :]


COMMAND = Command(
    synopsis="",
    summary="Proxy the stdio stream to the daemon connection. Should not be invoked manually",
    run=run,
    maximum=0,
)
