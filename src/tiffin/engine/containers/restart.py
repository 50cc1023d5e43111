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
    container.restarting = True
    try:
        await _stop(context, container, signal, timeout_s)
        with suppress(NotModified):
            await start(context, container)
    finally:
        container.restarting = False
    context.publish(container, "restart")


async def _stop(context: Context, container: Container, signal: str, timeout_s: int | None) -> None:
    container.keep = True
    try:
        if container.up:
            with suppress(NotModified):
                await stop(context, container, signal, timeout_s)
    finally:
        container.keep = False
