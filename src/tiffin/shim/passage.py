"""Output that goes from a process's pipe to its only client without being copied through the shim.

A frame's header says how many bytes follow, so once it is sent they are *owed*: they stay in the
pipe until the connection takes them, and nothing else may be sent before.
"""

import array
import fcntl
import os
import socket
import termios

from tiffin.wire import stdcopy

SPLICE_SIZE = 1 << 20


class Passage:
    """Moves bytes from pipes to one connection, which must not block."""

    def __init__(self, connection: socket.socket, *, framed: bool) -> None:
        self._connection = connection
        self._framed = framed
        self._pipe = -1
        self.owed = 0
        """Bytes that are announced and still in the pipe."""
        self.is_usable = True

    def begin(self, stream: int, pipe: int) -> bool:
        """Move what is in the pipe now; False if it is to be read instead (its end, a terminal).

        OSError if the client is gone.
        """
        count = min(_waiting(pipe), SPLICE_SIZE)
        if not count:
            return False
        if self._framed:
            flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL | socket.MSG_MORE
            try:
                self._connection.send(stdcopy.header(stream, count), flags)
            except BlockingIOError:
                return False
        self._pipe, self.owed = pipe, count
        self.go_on()
        return True

    def go_on(self) -> None:
        """Move what the connection takes now; OSError if the client is gone."""
        connection = self._connection.fileno()
        try:
            while self.owed:
                self.owed -= os.splice(
                    self._pipe, connection, self.owed, flags=os.SPLICE_F_NONBLOCK
                )
        except BlockingIOError:
            return
        except OSError as error:
            if isinstance(error, ConnectionError):
                raise
            self.is_usable = False  # not every kind of connection can do this

    def take(self, size: int) -> bytes:
        """Return up to `size` of the bytes that are owed, which the caller then owes."""
        data = os.read(self._pipe, min(size, self.owed))
        self.owed -= len(data)
        return data


def _waiting(pipe: int) -> int:
    """Return how many bytes are in the pipe; 0 for what is none."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(pipe, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]
