"""The Engine API as calls: version negotiation, JSON, errors, streams and hijacked connections."""

import contextlib
import json
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any

from tiffin import __version__
from tiffin.client.endpoint import Endpoint
from tiffin.client.http import ConnectFailed, Response, connect, send_request

NEWEST = "1.50"
_TOO_NEW = r"Maximum supported API version is (\d+\.\d+)"

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

Query = Mapping[str, object]


class ApiError(Exception):
    """The daemon refused: `status` is HTTP's, the text its own message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Api:
    """Calls on one daemon. `version` pins an API version, else the newest that both know is used."""

    def __init__(
        self, endpoint: Endpoint, version: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        self.endpoint = endpoint
        self._version = version or NEWEST
        self._pinned = bool(version)
        self._negotiated = bool(version)
        self._headers = {"User-Agent": f"Tiffin-Client/{__version__} (linux)", **(headers or {})}

    @property
    def version(self) -> str:
        """The API version in use."""
        return self._version

    def get(self, path: str, query: Query | None = None) -> Any:  # noqa: ANN401
        """GET and decode JSON; ApiError."""
        return self.call("GET", path, query).json()

    def post(self, path: str, query: Query | None = None, body: object = None) -> Any:  # noqa: ANN401
        """POST a JSON body and decode the answer; ApiError."""
        return self.call("POST", path, query, body=body).json()

    def delete(self, path: str, query: Query | None = None) -> Any:  # noqa: ANN401
        """DELETE and decode the answer; ApiError."""
        return self.call("DELETE", path, query).json()

    def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: object = None,
        stream: Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        versioned: bool = True,
    ) -> Response:
        """Send one request and return its response with the body unread; ApiError for status ≥ 400.

        `body` is sent as JSON, `stream` as it is. A 304 is returned like a success.
        """
        if stream is not None and versioned:
            self._negotiate()
        response = self._send(method, path, query, body, stream, headers, versioned=versioned)
        if response.status < 400:
            return response
        message = _message(response)
        newest = re.search(_TOO_NEW, message)
        if versioned and newest and not self._pinned:
            self._version = newest[1]
            return self.call(method, path, query, body=body, stream=stream, headers=headers)
        raise ApiError(response.status, message)

    def hijack(
        self, path: str, query: Query | None = None, *, body: object = None
    ) -> tuple[socket.socket, bytes]:
        """POST and take the connection over; return it with bytes that came early. ApiError."""
        upgrade = {"Connection": "Upgrade", "Upgrade": "tcp"}
        response = self.call("POST", path, query, body=body, headers=upgrade)
        return response.socket, response.leftover

    def ping(self) -> dict[str, str]:
        """Return the headers of `/_ping`."""
        response = self.call("HEAD", "/_ping", versioned=False)
        response.close()
        return response.head.headers

    def _negotiate(self) -> None:
        """Lower the version to the daemon's before a request that cannot be sent twice."""
        if self._negotiated:
            return
        offered = self.ping().get("api-version", NEWEST)
        if _number(offered) < _number(self._version):
            self._version = offered
        self._negotiated = True

    def _send(
        self,
        method: str,
        path: str,
        query: Query | None,
        body: object,
        stream: Iterable[bytes] | None,
        headers: Mapping[str, str] | None,
        *,
        versioned: bool,
    ) -> Response:
        target = (f"/v{self._version}" if versioned else "") + path + encode_query(query)
        sent = {**self._headers, **(headers or {})}
        payload: bytes | Iterable[bytes] | None = stream
        if body is not None:
            payload = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            sock = connect(self.endpoint)
        except ConnectFailed as error:
            raise ConnectFailed(self._unreachable(error)) from error
        try:
            # A daemon may answer (with an error) and close before it has read the whole body.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                send_request(sock, method, target, sent, payload)
            return Response(sock, has_body=method != "HEAD")
        except BaseException:
            sock.close()
            raise

    def _unreachable(self, error: ConnectFailed) -> str:
        """Return Docker's words, which tell a daemon that is down from one that refuses."""
        if str(error).startswith("tls:"):
            return f"error during connect: {error}"
        if isinstance(error.__cause__, PermissionError):
            return (
                "permission denied while trying to connect to the Docker daemon socket at "
                f"{self.endpoint.text}"
            )
        return (
            f"Cannot connect to the Docker daemon at {self.endpoint.text}. "
            "Is the docker daemon running?"
        )


def encode_query(query: Query | None) -> str:
    """Return `?a=b&…` without members that are None, False or empty; lists repeat their key."""
    parts: list[str] = []
    for name, value in (query or {}).items():
        if value is None or value is False or value == "" or value == [] or value == {}:
            continue
        if isinstance(value, dict):
            value = json.dumps(value, separators=(",", ":"))
        values = value if isinstance(value, list | tuple) else [value]
        parts.extend(
            f"{name}={quote('1' if item is True else str(item), safe='')}" for item in values
        )
    return "?" + "&".join(parts) if parts else ""


def quote(text: str, safe: str = "") -> str:
    """Percent-encode all but RFC 3986's unreserved characters (urllib costs more than a command)."""
    kept = _UNRESERVED | frozenset(safe.encode())
    return "".join(
        chr(byte) if byte in kept else f"%{byte:02X}"
        for byte in text.encode(errors="surrogateescape")
    )


def path_part(name: str) -> str:
    """Quote a name for use in a path; slashes stay, as image names hold them."""
    return quote(name, safe="/:@")


def _message(response: Response) -> str:
    data = response.read()
    try:
        message = json.loads(data)["message"]
    except (ValueError, KeyError, TypeError):
        message = data.decode(errors="replace").strip()
    return str(message) or f"{response.status} {response.head.reason}"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
