"""The `syslog` driver: to the host's own syslog, or to a server over UDP, TCP, TLS, unix sockets."""

import os
import socket
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from tiffin.logs.address import ServerAddress
from tiffin.logs.dial import DialError, dial, is_closed_by_peer
from tiffin.logs.messages import Message
from tiffin.logs.remote import Retry
from tiffin.logs.syslog_format import SyslogWriter
from tiffin.logs.syslog_options import SyslogFormat, SyslogOptions

if TYPE_CHECKING:
    import ssl

_LOCAL_PATHS = ("/dev/log", "/var/run/syslog", "/var/run/log")
_AT_ONCE = 64


class SyslogDriver:
    """Sends messages; those without text are left out, as a server would."""

    retry = Retry()
    buffer_limit = 1 << 20
    may_be_absent = False

    def __init__(self, options: SyslogOptions, tag: str) -> None:
        self._options = options
        modern = options.format in (SyslogFormat.RFC5424, SyslogFormat.RFC5424_MICRO)
        network = options.address.network if options.address is not None else ""
        self._writer = SyslogWriter(
            options.format,
            options.facility,
            socket.gethostname(),
            tag,
            os.getpid(),
            counted=modern and network == "tls",
        )
        self._is_datagram = False
        self._connection: socket.socket | None = None

    def connect(self) -> None:
        """Connect; DialError."""
        self.close()
        address = self._options.address
        if address is None:
            self._connection = _dial_local()
        else:
            context = self._tls() if address.network == "tls" else None
            self._connection = dial(address)
            if context is not None:
                self._wrap(context, address)
        self._is_datagram = self._connection.type == socket.SOCK_DGRAM

    def send(self, messages: deque[Message]) -> None:
        """Send them; OSError leaves those that were not sent."""
        if self._connection is None:
            raise DialError("not connected to the syslog server")
        if not self._is_datagram and self._is_closed():
            raise ConnectionResetError("the syslog server has closed the connection")
        while messages:
            batch = list(islice(messages, 1 if self._is_datagram else _AT_ONCE))
            data = b"".join(self._writer.write(message) for message in batch if message.line)
            if data:
                self._send(self._connection, data)
            for _ in batch:
                messages.popleft()

    def close(self) -> None:
        """Close the connection; idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _send(self, connection: socket.socket, data: bytes) -> None:
        try:
            connection.sendall(data)
        except ConnectionRefusedError:
            if connection.family == socket.AF_UNIX or not self._is_datagram:
                raise
            # What an earlier datagram met with; nobody knows the fate of this one.
            connection.send(data)

    def _is_closed(self) -> bool:
        assert self._connection is not None
        address = self._options.address
        if address is None or address.network != "tls":
            return is_closed_by_peer(self._connection)
        from tiffin.logs.tls import is_closed_by_tls_peer

        return is_closed_by_tls_peer(self._connection)

    def _tls(self) -> "ssl.SSLContext":
        from tiffin.logs.tls import client_context

        return client_context(self._options.tls)

    def _wrap(self, context: "ssl.SSLContext", address: ServerAddress) -> None:
        from tiffin.logs.tls import wrap

        assert self._connection is not None
        self._connection = wrap(context, self._connection, address.host)


def _dial_local() -> socket.socket:
    for network in ("unixgram", "unix"):
        for path in _LOCAL_PATHS:
            try:
                return dial(ServerAddress(network, path))
            except DialError:
                continue
    raise DialError("Unix syslog delivery error")
