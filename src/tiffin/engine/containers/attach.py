"""Attach a client's connection to a container, before or after it is started."""

import asyncio
import os
import select
import socket
from dataclasses import dataclass, replace

from tiffin.engine.containers import logs
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.detach_keys import DEFAULT
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.engine.tasks.contract import Attachment
from tiffin.errors import Conflict, TiffinError
from tiffin.logs.driver import LogFormat, LogQuery
from tiffin.wire.stdcopy import STDOUT, frame


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """What the client wants of the connection."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    stream: bool = False
    detach_keys: bytes = b""
    """Empty for the default."""
    raw: bool = False
    """Never frame (websocket)."""


def check_attachable(container: Container, reference: str) -> None:
    """Raise Conflict, which names the container as the client did, if it is paused or restarting."""
    if container.status is Status.PAUSED:
        raise Conflict(f"container {reference} is paused, unpause the container before attach")
    if container.status is Status.RESTARTING:
        raise Conflict(f"container {reference} is restarting, wait until the container is running")


async def attach(
    context: Context, container: Container, fd: int, prefix: bytes, options: AttachOptions
) -> None:
    """Attach the connected socket `fd`, which stays the caller's to close.

    With `logs` the past is sent first. A container that is not running yet gets the connection
    when it starts.
    """
    config = container.spec.config
    replayed = options.logs and (options.stdout or options.stderr)
    if replayed and not await _replay(context, container, fd, options):
        return
    context.publish(container, "attach")
    if not options.stream:
        return
    attachment = Attachment(
        fd=fd,
        stdin=options.stdin and config.open_stdin,
        stdout=options.stdout,
        stderr=options.stderr,
        framed=not config.tty and not options.raw,
        # What is no terminal may send any bytes.
        detach_keys=(options.detach_keys or DEFAULT) if config.tty else b"",
        prefix=prefix,
        on_detached=lambda: context.publish(container, "detach"),
    )
    async with container.lock:
        if container.handle is not None and container.alive:
            await container.handle.attach(attachment)
        elif container.status in (Status.CREATED, Status.EXITED):
            _forget_those_who_left(container)
            container.pending.append(replace(attachment, fd=os.dup(attachment.fd)))


def _forget_those_who_left(container: Container) -> None:
    """Close connections that wait for a start which their clients no longer wait for."""
    for waiting in tuple(container.pending):
        poll = select.poll()
        poll.register(waiting.fd, 0)
        if poll.poll(0):
            container.pending.remove(waiting)
            os.close(waiting.fd)


async def _replay(context: Context, container: Container, fd: int, options: AttachOptions) -> bool:
    """Send the log; whether there is one."""
    query = LogQuery(stdout=options.stdout, stderr=options.stderr)
    form = LogFormat(framed=not container.spec.config.tty and not options.raw)
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=os.dup(fd)) as client:
        client.setblocking(False)  # socket's own signature
        try:
            async for portion in logs.read(context, container, query, form):
                await loop.sock_sendall(client, portion)
        except TiffinError as error:
            # The connection is no longer HTTP's: the client reads it as output.
            text = f"Error attaching: {error}\n".encode()
            await loop.sock_sendall(client, frame(STDOUT, text) if form.framed else text)
            return False
        return True
