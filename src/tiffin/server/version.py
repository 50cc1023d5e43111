"""The API version that a request speaks."""

from aiohttp import web

from tiffin.api.version import DEFAULT, ApiVersion

_KEY = web.RequestKey("tiffin.version", ApiVersion)


def request_version(request: web.Request) -> ApiVersion:
    """Return the version of the request's prefix, or the default: `… < (1, 44)`."""
    version: ApiVersion = request.get(_KEY, DEFAULT)
    return version


def set_request_version(request: web.Request, version: ApiVersion) -> None:
    """Note the version that routing found in the path."""
    request[_KEY] = version
