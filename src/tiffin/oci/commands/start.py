"""`start`: let a created container execute its program."""

import os
import socket

from tiffin.errors import FailedPrecondition
from tiffin.oci.command import Call
from tiffin.oci.container import CREATED, STOPPED, Container
from tiffin.oci.flags import Flag
from tiffin.oci.store import GATE

WORDS = "<container-id>"
FLAGS: tuple[Flag, ...] = ()


def run(call: Call) -> int:
    """Start it; FailedPrecondition."""
    container = call.container(call.container_id())
    status = container.status()
    if status == STOPPED:
        raise FailedPrecondition("cannot start a container that has stopped")
    if status != CREATED:
        raise FailedPrecondition("cannot start an already running container")
    start(call, container)
    return 0


def start(call: Call, container: Container) -> None:
    """Open the gate and wait until the program is executed."""
    from tiffin.runtime.handshake import Channel, Kind  # after the cheap answers

    channel = Channel(_connect(container))
    try:
        channel.send(Kind.START)
        while (message := channel.receive()).kind is not Kind.CLOSED:
            if message.kind is Kind.WARNING:
                call.log.warning(message.text)
            elif message.kind is Kind.ERROR:
                raise FailedPrecondition(message.text)
    finally:
        channel.close()
    (container.directory / GATE).unlink(missing_ok=True)
    document = container.store.config(container.record.id)
    if document.get("hooks"):
        _run_poststart(container, document)


def _connect(container: Container) -> socket.socket:
    directory = os.open(container.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(f"/proc/self/fd/{directory}/{GATE}")
    except OSError as error:
        connection.close()
        raise FailedPrecondition(f"cannot start a container that has stopped: {error}") from error
    finally:
        os.close(directory)
    return connection


def _run_poststart(container: Container, document: dict[str, object]) -> None:
    from tiffin.oci.hooks import run_poststart
    from tiffin.runtime.operation import Failed

    try:
        run_poststart(container.record, document)
    except Failed as error:
        container.kill()
        raise FailedPrecondition(str(error)) from None
