"""The `gelf` driver: GELF 1.1 over UDP (compressed, in chunks if need be) or TCP.

https://go2docs.graylog.org/current/getting_in_log_data/gelf.html
"""

import json
import os
import socket
from collections import deque

from tiffin.logs.dial import DialError, dial, is_closed_by_peer
from tiffin.logs.gelf_options import GelfOptions
from tiffin.logs.messages import Message
from tiffin.logs.remote import LogSource, Retry

CHUNK_SIZE = 1420
_MAGIC = b"\x1e\x0f"
_CHUNK_DATA = CHUNK_SIZE - 12
_MOST_CHUNKS = 128
_ERR, _INFO = 3, 6


class GelfDriver:
    """Sends messages; those without text are left out, as the format demands."""

    buffer_limit = 1 << 20
    may_be_absent = False

    def __init__(self, options: GelfOptions, source: LogSource) -> None:
        self._options = options
        self._is_udp = options.address.network == "udp"
        self._hostname = socket.gethostname()
        attributes = {
            name if name.startswith("_") else f"_{name}": value
            for name, value in source.attributes.items()
        }
        self._extra = {
            "_command": source.command,
            "_container_id": source.id,
            "_container_name": source.name,
            "_created": source.created,
            "_image_id": source.image_id,
            "_image_name": source.image_name,
            "_tag": source.tag,
            **attributes,
        }
        self._connection: socket.socket | None = None
        delay = float(options.reconnect_delay_s)
        self.retry = Retry() if self._is_udp else Retry(delay, 1.0, delay, options.reconnects)

    def connect(self) -> None:
        """Connect; DialError."""
        self.close()
        address = self._options.address
        try:
            self._connection = dial(address)
        except DialError as error:
            raise DialError(f"gelf: cannot connect to GELF endpoint: {address} {error}") from error

    def send(self, messages: deque[Message]) -> None:
        """Send them one by one; OSError leaves those that were not sent."""
        connection = self._connection
        if connection is None:
            raise DialError("not connected to the GELF endpoint")
        if not self._is_udp and is_closed_by_peer(connection):
            raise ConnectionResetError("the GELF endpoint has closed the connection")
        while messages:
            message = messages[0]
            if message.line:
                data = self._encode(message)
                if self._is_udp:
                    self._send_datagrams(connection, data)
                else:
                    connection.sendall(data + b"\0")
            messages.popleft()

    def close(self) -> None:
        """Close the connection; idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _encode(self, message: Message) -> bytes:
        record = {
            "version": "1.1",
            "host": self._hostname,
            "short_message": message.line.decode(errors="replace"),
            "timestamp": message.time_ns // 1_000_000 / 1000,
            "level": _ERR if message.stream == "stderr" else _INFO,
            **self._extra,
        }
        return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode(
            errors="replace"
        )

    def _send_datagrams(self, connection: socket.socket, data: bytes) -> None:
        for datagram in datagrams(self._compress(data)):
            try:
                connection.send(datagram)
            except ConnectionRefusedError:
                # What an earlier datagram met with; nobody knows the fate of this one.
                connection.send(datagram)

    def _compress(self, data: bytes) -> bytes:
        if self._options.compression == "none":
            return data
        import zlib  # loaded by none but these

        wide = 16 if self._options.compression == "gzip" else 0
        compressor = zlib.compressobj(self._options.level, wbits=zlib.MAX_WBITS + wide)
        return compressor.compress(data) + compressor.flush()


def datagrams(data: bytes) -> list[bytes]:
    """Return what to send for a message; nothing if it is larger than the protocol allows."""
    if len(data) <= CHUNK_SIZE:
        return [data]
    chunks = [data[at : at + _CHUNK_DATA] for at in range(0, len(data), _CHUNK_DATA)]
    if len(chunks) > _MOST_CHUNKS:
        return []
    head = _MAGIC + os.urandom(8)
    return [head + bytes([number, len(chunks)]) + chunk for number, chunk in enumerate(chunks)]
