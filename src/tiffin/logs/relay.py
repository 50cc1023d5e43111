"""The process between a shim and a log server: it may block, and it may be as large as it takes.

    shim ── frames ──► relay ── driver ──► server
         ◄── one line: connected, or why not ──

A frame is a header (stream, time, length) and bytes as the container's process wrote them. The relay
ends when the shim's end closes and everything is sent, or a few seconds later.
"""

import socket
import struct
import time
from collections.abc import Callable, Mapping

from tiffin.logs import options as log_options
from tiffin.logs.messages import Message, MessageSplitter
from tiffin.logs.remote import LogSource, RemoteDriver
from tiffin.logs.remote_drivers import open_remote

FINISH_S = 5.0
"""How long a relay tries to send what is left."""

HEADER = struct.Struct("<BQI")
"""Stream as in stdcopy, Unix time in ns, length."""
STREAMS = {"stdout": 1, "stderr": 2}
CONNECTED = b"\n"


def frame(stream: str, time_ns: int, data: bytes) -> bytes:
    """Return the frame of a portion of output."""
    return HEADER.pack(STREAMS[stream], time_ns, len(data)) + data


def serve(
    connection: socket.socket,
    name: str,
    options: Mapping[str, str],
    source: LogSource,
    note: Callable[[str], None],
) -> None:
    """Connect to the log server, say how that went, and relay until the shim's end closes.

    `note` is told what goes wrong later.
    """
    try:
        driver = open_remote(name, _own(options), source)
        connected = _connect(driver)
    except (OSError, ValueError) as error:
        connection.sendall(str(error).encode() + b"\n")
        return
    connection.sendall(CONNECTED)
    from tiffin.logs.delivery import Delivery  # threads: only if it comes to that

    limit = log_options.buffer_size(options)
    delivery = Delivery(
        driver,
        limit=driver.buffer_limit if limit is None else limit,
        waits=limit is None and not driver.may_be_absent,
        note=lambda error: note(f"log driver {name}: {error}"),
    )
    delivery.start(connected=connected)
    _take_in(connection, delivery.put)
    delivery.finish(FINISH_S)
    if delivery.dropped:
        note(f"log driver {name}: {delivery.dropped} messages were dropped")


def _own(options: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in options.items() if name not in log_options.BUILT_IN}


def _connect(driver: RemoteDriver) -> bool:
    try:
        driver.connect()
    except OSError:
        if not driver.may_be_absent:
            raise
        return False
    return True


def _take_in(connection: socket.socket, put: Callable[[Message], None]) -> None:
    """Pass on what comes until the other end closes."""
    splitters = {number: MessageSplitter(name) for name, number in STREAMS.items()}
    with connection.makefile("rb", 1 << 17) as frames:
        while len(header := frames.read(HEADER.size)) == HEADER.size:
            stream, time_ns, length = HEADER.unpack(header)
            for message in splitters[stream].feed(frames.read(length), time_ns):
                put(message)
    for splitter in splitters.values():
        for message in splitter.finish(time.time_ns()):
            put(message)
