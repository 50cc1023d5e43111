"""The `journald` driver: the journal's native protocol, https://systemd.io/JOURNAL_NATIVE_PROTOCOL.

A message is one datagram of fields. One that is too large for a datagram goes into a sealed memfd,
which is sent in its place.
"""

import array
import errno
import fcntl
import os
import socket
import struct
from collections import deque
from collections.abc import Mapping

from tiffin.logs.dial import DialError
from tiffin.logs.messages import Message
from tiffin.logs.remote import LogSource, Retry
from tiffin.spec.times import format_time

SOCKET = "/run/systemd/journal/socket"
_ERR, _INFO = 3, 6
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_SHORT_ID = 12


class JournaldDriver:
    """Sends messages to the journal that listens on `path`."""

    retry = Retry()
    buffer_limit = 1 << 20
    may_be_absent = False

    def __init__(self, source: LogSource, path: str = SOCKET) -> None:
        self._path = path
        self._ordinal = 0
        fields = {
            "CONTAINER_ID": source.id[:_SHORT_ID],
            "CONTAINER_ID_FULL": source.id,
            "CONTAINER_NAME": source.name,
            "CONTAINER_TAG": source.tag,
            "IMAGE_NAME": source.image_name,
            "SYSLOG_IDENTIFIER": source.tag,
            "CONTAINER_LOG_EPOCH": os.urandom(32).hex(),
        }
        fields.update((journal_name(name), value) for name, value in source.attributes.items())
        self._fields = _encoded(fields)
        self._socket: socket.socket | None = None

    def connect(self) -> None:
        """Connect to the journal; DialError if there is none."""
        self.close()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            connection.connect(self._path)
        except OSError as error:
            connection.close()
            raise DialError("journald is not enabled on this host") from error
        self._socket = connection

    def send(self, messages: deque[Message]) -> None:
        """Send them one by one; OSError leaves those that were not sent."""
        if self._socket is None:
            raise DialError("not connected to the journal")
        while messages:
            data = self._datagram(messages[0])
            try:
                self._socket.send(data)
            except OSError as error:
                if error.errno not in _TOO_LARGE:
                    raise
                _send_as_file(self._socket, data)
            self._ordinal += 1
            messages.popleft()

    def close(self) -> None:
        """Close the connection; idempotent."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def _datagram(self, message: Message) -> bytes:
        fields = {
            "PRIORITY": str(_ERR if message.stream == "stderr" else _INFO),
            "SYSLOG_TIMESTAMP": format_time(message.time_ns),
            "CONTAINER_LOG_ORDINAL": str(self._ordinal + 1),
        }
        if message.partial is not None:
            fields["CONTAINER_PARTIAL_ID"] = message.partial.id
            fields["CONTAINER_PARTIAL_ORDINAL"] = str(message.partial.ordinal)
            fields["CONTAINER_PARTIAL_LAST"] = str(message.partial.last).lower()
            if not message.partial.last:
                fields["CONTAINER_PARTIAL_MESSAGE"] = "true"
        return _encoded(fields) + _field("MESSAGE", message.line) + self._fields


def journal_name(text: str) -> str:
    """Return a valid field name: upper case, digits, underscores, none of those in front."""
    upper = "".join(
        character.upper() if character.isascii() and character.isalnum() else "_"
        for character in text
    )
    return upper.lstrip("_")


def _encoded(fields: Mapping[str, str]) -> bytes:
    return b"".join(_field(name, value.encode()) for name, value in fields.items() if name)


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def _send_as_file(connection: socket.socket, data: bytes) -> None:
    fd = os.memfd_create("tiffin-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(fd, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) or 0 :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        connection.sendmsg([b""], rights)
