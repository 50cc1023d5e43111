"""Connections to log servers; what fails is told in the words of Go's net package."""

import errno
import os
import socket
from contextlib import suppress

from tiffin.logs.address import ServerAddress

CONNECT_TIMEOUT_S = 10.0
UNANSWERED_MS = 30_000

_KINDS = {
    "tcp": socket.SOCK_STREAM, "tls": socket.SOCK_STREAM, "unix": socket.SOCK_STREAM,
    "udp": socket.SOCK_DGRAM, "unixgram": socket.SOCK_DGRAM,
}  # fmt: skip


class DialError(OSError):
    """There is no connection; the text is all there is to say."""


def dial(address: ServerAddress, *, timeout_s: float = CONNECT_TIMEOUT_S) -> socket.socket:
    """Return a connected socket that blocks; DialError."""
    kind = _KINDS[address.network]
    if address.network in ("unix", "unixgram"):
        return _connect(address, socket.AF_UNIX, kind, address.host, timeout_s)
    network = "udp" if kind == socket.SOCK_DGRAM else "tcp"
    try:
        found = socket.getaddrinfo(address.host, address.port, type=kind)
    except socket.gaierror as error:
        raise DialError(f"dial {network}: lookup {address.host}: {_reason(error)}") from error
    first: DialError | None = None
    for family, _kind, _protocol, _name, target in found:
        try:
            return _connect(
                ServerAddress(network, str(target[0]), address.port),
                family,
                kind,
                target,
                timeout_s,
            )
        except DialError as error:
            first = first or error
    raise first or DialError(f"dial {network} {address}: no suitable address found")


def _reason(error: socket.gaierror) -> str:
    return "no such host" if error.errno == socket.EAI_NONAME else (error.strerror or "").lower()


def _connect(
    address: ServerAddress, family: int, kind: int, target: object, timeout_s: float
) -> socket.socket:
    connection = socket.socket(family, kind)
    try:
        connection.settimeout(timeout_s)
        connection.connect(target)  # type: ignore[arg-type]  # whatever the family has
        if address.network == "tcp":
            # A host that has vanished must be noticed although nothing comes back.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_MS)
        connection.settimeout(None)
    except OSError as error:
        connection.close()
        raise DialError(f"dial {address.network} {address}: {_words(error)}") from error
    return connection


def _words(error: OSError) -> str:
    if isinstance(error, TimeoutError) and not error.errno:
        return "i/o timeout"
    return f"connect: {os.strerror(error.errno or errno.EINVAL).lower()}"


def is_closed_by_peer(connection: socket.socket) -> bool:
    """Whether the peer of a stream has closed it: what is sent now would be lost silently."""
    with suppress(BlockingIOError):
        try:
            return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                raise
            return True
    return False
