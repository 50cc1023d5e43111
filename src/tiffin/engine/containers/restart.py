"""Restart a container."""

from contextlib import suppress

from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.start import start
from tiffin.engine.containers.stop import stop
from tiffin.errors import NotModified


async def restart(
    context: Context, container: Container, signal: str = "", timeout_s: int | None = None
) -> None:
    """Stop it if it runs, then start it; a `--rm` container survives this."""
    container.keep = True
    try:
        if container.up:
            with suppress(NotModified):
                await stop(context, container, signal, timeout_s)
    finally:
        container.keep = False
    with suppress(NotModified):
        await start(context, container)
    context.publish(container, "restart")
