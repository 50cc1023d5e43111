"""What surrounds every handler: the debug log of requests, errors, and Docker's headers."""

import logging
from collections.abc import Mapping

from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from tiffin import __version__
from tiffin.api.version import MAXIMUM
from tiffin.server.hijack import HijackedResponse
from tiffin.server.routing import Handler
from tiffin.server.status import error_response, render

log = logging.getLogger(__name__)

HEADERS: Mapping[str, str] = {
    "Api-Version": str(MAXIMUM),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Tiffin/{__version__} (linux)",
}
"""Sent with every response; clients negotiate the version by them."""


_SECRET = ("buildargs", "remote", "secrets")


def _shown(request: web.Request) -> str:
    """Return path and query for the log, without what may hold secrets."""
    if not any(name in request.query for name in _SECRET):
        return request.path_qs
    kept = request.rel_url.update_query(
        {name: "*****" for name in _SECRET if name in request.query}
    )
    return str(kept)


def guarded(handler: Handler) -> Handler:
    """Return `handler` with its errors rendered as responses."""

    async def guard(request: web.Request) -> web.StreamResponse:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("request", extra={"method": request.method, "path": _shown(request)})
        try:
            return await handler(request)
        except RequestPayloadError as error:
            response = error_response(400, f"the request body is not whole: {error}")
        except Exception as error:  # noqa: BLE001  # whatever it is, the client is answered
            if _client_is_gone(request, error):
                log.debug("the client is gone", extra={"path": _shown(request)})
                return _cut_off(request)
            response = render(error)
            if _started(request):
                # A second head in the middle of a body would only confuse: cut it short instead.
                log.debug("a response ends early", extra={"path": _shown(request), "error": error})
                return _cut_off(request)
        return response

    return guard


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add Docker's headers to a response that is about to leave."""
    del request
    response.headers.update(HEADERS)


def _client_is_gone(request: web.Request, error: Exception) -> bool:
    transport = request.transport
    return isinstance(error, ConnectionError) and (transport is None or transport.is_closing())


def _cut_off(request: web.Request) -> web.StreamResponse:
    """Close the connection; return what sends nothing more."""
    request.protocol.force_close()
    return HijackedResponse()


def _started(request: web.Request) -> bool:
    return request.writer.output_size > 0
