"""The one place where errors become HTTP statuses."""

import errno
import logging
from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web

from tiffin import errors
from tiffin.api import codec

log = logging.getLogger(__name__)

STATUS: Mapping[type, int] = MappingProxyType(
    {
        errors.InvalidArgument: 400,
        errors.Unauthorized: 401,
        errors.PermissionDenied: 403,
        errors.NotFound: 404,
        errors.AlreadyExists: 409,
        errors.Conflict: 409,
        errors.FailedPrecondition: 500,
        errors.NotModified: 304,
        errors.Unavailable: 503,
        errors.Unimplemented: 501,
        errors.Cancelled: 499,
        errors.DataLoss: 500,
    }
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
UNEXPECTED = "internal error: the daemon's log has the details"


def status_of(error: errors.TiffinError) -> int:
    """Return the status of an error by its nearest class in the table."""
    kinds: tuple[type, ...] = type(error).__mro__
    return next((status for kind in kinds if (status := STATUS.get(kind))), 500)


def error_response(status: int, message: str) -> web.Response:
    """Render an error as clients expect it; 304 has no body."""
    if status == 304:
        return web.Response(status=status)
    return web.Response(
        body=codec.encode({"message": message}) + b"\n",
        status=status,
        reason="Client Closed Request" if status == 499 else None,
        content_type="application/json",
    )


def render(error: Exception) -> web.Response:
    """Turn whatever a handler raised into a response; what is not expected is logged."""
    if isinstance(error, errors.TiffinError):
        return error_response(status_of(error), str(error))
    if isinstance(error, web.HTTPException):
        return error_response(error.status, error.text or error.reason)
    return error_response(500, unexpected("request", error))


def unexpected(what: str, error: Exception) -> str:
    """Log an error that no contract names; return what the client is told."""
    if isinstance(error, OSError) and error.errno in _FULL:
        log.error("%s failed: %s", what, error)
    else:
        log.error("%s failed unexpectedly", what, exc_info=error)
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        return f"{error.strerror}: {name}" if name else error.strerror
    return UNEXPECTED
