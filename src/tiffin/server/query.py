"""Query parameters with Docker's manners."""

import re
from typing import overload

from aiohttp import web

from tiffin.api.filters import Filters
from tiffin.errors import InvalidArgument

_FALSE = frozenset({"", "0", "no", "false", "none"})
_INTEGER = re.compile(r"[+-]?[0-9]+")
_INT64 = range(-(2**63), 2**63)


def flag(request: web.Request, name: str, default: bool = False) -> bool:
    """Return a truth value; everything but "", 0, no, false and none is true."""
    text = request.query.get(name)
    return default if text is None else text.strip().lower() not in _FALSE


@overload
def integer(request: web.Request, name: str, default: int) -> int: ...
@overload
def integer(request: web.Request, name: str, default: None = None) -> int | None: ...
def integer(request: web.Request, name: str, default: int | None = None) -> int | None:
    """Return a decimal integer of 64 bits; `default` if absent or empty; InvalidArgument."""
    text = request.query.get(name, "")
    if not text:
        return default
    if not _INTEGER.fullmatch(text) or len(text) > 20 or int(text) not in _INT64:
        raise InvalidArgument(f'strconv.ParseInt: parsing "{text}": invalid syntax: {name}')
    return int(text)


def filters(request: web.Request) -> Filters:
    """Return the `filters` parameter; InvalidArgument if it is not one of its two shapes."""
    return Filters.parse(request.query.get("filters", ""))
