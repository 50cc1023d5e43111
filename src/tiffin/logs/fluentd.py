"""The `fluentd` driver: the forward protocol's message mode.

https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1
"""

import base64
import os
import socket
import struct
import time
from collections import deque
from itertools import islice

from tiffin.logs.dial import DialError, dial, is_closed_by_peer
from tiffin.logs.fluentd_options import FluentdOptions
from tiffin.logs.messages import Message
from tiffin.logs.remote import LogSource, Retry
from tiffin.wire.msgpack import Extension, MsgpackError, pack, unpack

_EVENT_TIME = 0
_AT_ONCE = 64
_CONNECT_TIMEOUT_S = 3.0


class FluentdDriver:
    """Sends messages, and waits for each to be acknowledged if that was asked for."""

    def __init__(self, options: FluentdOptions, source: LogSource) -> None:
        self._options = options
        self._tag = source.tag
        self._record = {
            "container_id": source.id,
            "container_name": f"/{source.name}",
        }
        self._attributes = dict(source.attributes)
        self._connection: socket.socket | None = None
        self._connected_at = 0.0
        self.retry = Retry(options.retry_wait_s, 1.5, 60.0, options.retries)
        self.buffer_limit = max(options.buffer_limit, 1)
        self.may_be_absent = options.asynchronous

    def connect(self) -> None:
        """Connect; DialError."""
        self.close()
        address = self._options.address
        connection = dial(address, timeout_s=_CONNECT_TIMEOUT_S)
        if address.network == "tls":
            from tiffin.logs.syslog_options import TlsFiles
            from tiffin.logs.tls import client_context, wrap

            connection = wrap(client_context(TlsFiles()), connection, address.host)
        self._connection = connection
        self._connected_at = time.monotonic()

    def send(self, messages: deque[Message]) -> None:
        """Send them; OSError leaves those that were not sent, or not acknowledged."""
        if self._connection is None:
            raise DialError("not connected to fluentd")
        if self._options.address.network != "tls" and is_closed_by_peer(self._connection):
            raise ConnectionResetError("fluentd has closed the connection")
        self._reconnect_in_time()
        while messages:
            if self._options.request_ack:
                self._send_acknowledged(self._connection, messages[0])
                messages.popleft()
                continue
            batch = list(islice(messages, _AT_ONCE))
            self._send(self._connection, b"".join(map(self._encode, batch)))
            for _ in batch:
                messages.popleft()

    def close(self) -> None:
        """Close the connection; idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _reconnect_in_time(self) -> None:
        # An address that stands for several servers is looked up again from time to time.
        interval = self._options.reconnect_s if self._options.asynchronous else 0
        if interval and time.monotonic() - self._connected_at > interval:
            self.connect()

    def _send(self, connection: socket.socket, data: bytes) -> None:
        connection.settimeout(self._options.write_timeout_s or None)
        connection.sendall(data)

    def _send_acknowledged(self, connection: socket.socket, message: Message) -> None:
        stamp = struct.pack("<q", message.time_ns // 1_000_000_000)
        chunk = base64.b64encode(stamp + os.urandom(8)).decode()
        self._send(connection, self._encode(message, chunk))
        connection.settimeout(self._options.read_timeout_s or None)
        try:
            answer = unpack(lambda size: _read_exactly(connection, size))
        except MsgpackError as error:
            raise ConnectionAbortedError(f"fluentd: {error}") from error
        if not isinstance(answer, dict) or answer.get("ack") != chunk:
            raise ConnectionAbortedError(f"message ack does not match expected one ({chunk})")

    def _encode(self, message: Message, chunk: str = "") -> bytes:
        seconds, nanoseconds = divmod(message.time_ns, 1_000_000_000)
        when: int | Extension = seconds
        if self._options.sub_second:
            when = Extension(_EVENT_TIME, struct.pack(">II", seconds, nanoseconds))
        record = {
            **self._record,
            "source": message.stream,
            "log": message.line.decode(errors="surrogateescape"),
            **self._attributes,
        }
        if message.partial is not None:
            record["partial_message"] = "true"
            record["partial_id"] = message.partial.id
            record["partial_ordinal"] = str(message.partial.ordinal)
            record["partial_last"] = str(message.partial.last).lower()
        return pack([self._tag, when, record, {"chunk": chunk} if chunk else {}])


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = connection.recv(size - len(found))
        if not data:
            raise ConnectionResetError("fluentd has closed the connection")
        found += data
    return found
