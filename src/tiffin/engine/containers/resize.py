"""Resize a container's terminal."""

from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.errors import Conflict, InvalidArgument

_LARGEST = 65535


def check_size(rows: int | None, columns: int | None) -> tuple[int, int]:
    """Return both; InvalidArgument unless they fit a window size."""
    if rows is None or columns is None:
        raise InvalidArgument("invalid terminal size: both h and w are needed")
    if not (0 <= rows <= _LARGEST and 0 <= columns <= _LARGEST):
        raise InvalidArgument(f"invalid terminal size: {rows}x{columns}")
    return rows, columns


async def resize(context: Context, container: Container, rows: int, columns: int) -> None:
    """Set the terminal's size; Conflict unless it runs."""
    if container.handle is None or not container.alive:
        raise Conflict(f"container {container.id} is not running")
    await container.handle.resize(rows, columns)
    context.publish(container, "resize", height=str(rows), width=str(columns))
