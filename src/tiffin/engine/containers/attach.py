"""Attach a client's connection to a container, before or after it is started."""

import asyncio
import os
import socket
from dataclasses import dataclass

from tiffin.engine.containers import logs
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.status import Status
from tiffin.engine.tasks.contract import Attachment
from tiffin.errors import Conflict
from tiffin.logs.driver import LogFormat, LogQuery


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """What the client wants of the connection."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    stream: bool = False
    detach_keys: bytes = b"\x10\x11"
    raw: bool = False
    """Never frame (websocket)."""


def check_attachable(container: Container) -> None:
    """Raise Conflict for a state in which nothing could be attached."""
    if container.status is Status.PAUSED:
        raise Conflict(f"container {container.id} is paused, unpause the container before attach")
    if container.status is Status.RESTARTING:
        raise Conflict(
            f"container {container.id} is restarting, wait until the container is running"
        )


async def attach(
    context: Context, container: Container, fd: int, prefix: bytes, options: AttachOptions
) -> None:
    """Attach the connected socket `fd`, which stays the caller's to close.

    With `logs` the past is sent first. A container that is not running yet gets the connection
    when it starts.
    """
    config = container.spec.config
    if options.logs and (options.stdout or options.stderr):
        await _replay(context, container, fd, options)
    context.publish(container, "attach")
    if not options.stream:
        return
    attachment = Attachment(
        fd=fd,
        stdin=options.stdin and config.open_stdin,
        stdout=options.stdout,
        stderr=options.stderr,
        framed=not config.tty and not options.raw,
        detach_keys=options.detach_keys,
        prefix=prefix,
        on_detached=lambda: context.publish(container, "detach"),
    )
    async with container.lock:
        if container.handle is not None and container.alive:
            await container.handle.attach(attachment)
        elif container.status in (Status.CREATED, Status.EXITED):
            container.pending.append(_own(attachment))


def _own(attachment: Attachment) -> Attachment:
    return Attachment(
        fd=os.dup(attachment.fd),
        stdin=attachment.stdin,
        stdout=attachment.stdout,
        stderr=attachment.stderr,
        framed=attachment.framed,
        detach_keys=attachment.detach_keys,
        prefix=attachment.prefix,
        on_detached=attachment.on_detached,
    )


async def _replay(context: Context, container: Container, fd: int, options: AttachOptions) -> None:
    query = LogQuery(stdout=options.stdout, stderr=options.stderr)
    form = LogFormat(framed=not container.spec.config.tty and not options.raw)
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=os.dup(fd)) as client:
        client.setblocking(False)  # socket's own signature
        async for portion in logs.read(context, container, query, form):
            await loop.sock_sendall(client, portion)
