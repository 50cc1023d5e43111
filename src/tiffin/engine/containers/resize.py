"""Resize a container's terminal."""

from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.errors import Conflict, InvalidArgument

_LARGEST = 65535
"""A window has no more rows or columns, see ioctl_tty(2)."""
_LARGEST_SAID = 2**32 - 1
"""A client may say more, up to this, and gets `_LARGEST`."""


def parse_size(height: str, width: str) -> tuple[int, int]:
    """Return rows and columns; InvalidArgument unless they are numbers of 32 bits."""
    return _parse("height", height), _parse("width", width)


def _parse(what: str, text: str) -> int:
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not digits.isascii() or not digits.isdigit():
        raise InvalidArgument(f'invalid resize {what} "{text}": invalid syntax')
    if text.startswith("-") or len(digits) > 20 or int(digits) > _LARGEST_SAID:
        raise InvalidArgument(f'invalid resize {what} "{text}": value out of range')
    return min(int(digits), _LARGEST)


async def resize(context: Context, container: Container, rows: int, columns: int) -> None:
    """Set the terminal's size; Conflict unless it runs."""
    if container.handle is None or not container.alive:
        raise Conflict(f"container {container.id} is not running")
    await container.handle.resize(rows, columns)
    context.publish(container, "resize", height=str(rows), width=str(columns))
