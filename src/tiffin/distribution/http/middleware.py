"""Around every request: errors become answers, and the request is counted and logged."""

import errno
import logging
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from tiffin.distribution.errors import Code, DistributionError
from tiffin.distribution.http.access_log import AccessLog
from tiffin.distribution.http.app import TARGET, error_response
from tiffin.distribution.http.metrics import Metrics
from tiffin.errors import TiffinError

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_FULL = (errno.ENOSPC, errno.EDQUOT)


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what went wrong into the answer that clients understand."""
    try:
        response = await handler(request)
    except DistributionError as error:
        response = _answer(request, error)
    except ConnectionError:
        raise  # the client is gone: nobody reads an answer
    except OSError as error:
        log.error("%s %s: %s", request.method, request.path, error)
        full = error.errno in _FULL
        message = "no space left on the registry's storage" if full else "the storage failed"
        fault = DistributionError(Code.UNKNOWN, message, status=507 if full else 503)
        response = _answer(request, fault)
    except TiffinError as error:
        log.error("%s %s: %s", request.method, request.path, error)
        response = _answer(request, DistributionError(Code.UNKNOWN, "internal error"))
    except web.HTTPException:
        raise
    except Exception:
        log.exception("%s %s", request.method, request.path)
        response = _answer(request, DistributionError(Code.UNKNOWN, "internal error"))
    return response


async def standard_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Set what every answer says; Docker's clients look for the version."""
    response.headers["Server"] = "tiffin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    if request.path.startswith("/v2"):
        response.headers["Docker-Distribution-API-Version"] = "registry/2.0"


def recorded(
    metrics: Metrics, access_log: AccessLog
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the middleware that counts and logs."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        metrics.begin()
        status, sent = 499, 0  # a client that goes before the answer is complete
        try:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                status = error.status
                raise
            except ConnectionError:
                return web.Response(status=status)  # which nobody will see
            status = response.status
            sent = max(response.content_length or 0, 0) if request.method != "HEAD" else 0
            return response
        finally:
            seconds = time.perf_counter() - started
            target = request.get(TARGET)
            kind = target.kind.name.lower() if target else "other"
            metrics.end(kind, request.method, status, seconds, sent)
            access_log.write(request, status, sent, seconds)

    return record


def _answer(request: web.Request, error: DistributionError) -> web.StreamResponse:
    if request.writer.output_size > 0:
        # The status is on its way: a broken connection is all that can still be said.
        log.warning("%s %s: %s", request.method, request.path, error)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError(str(error))
    return error_response(error, request)
