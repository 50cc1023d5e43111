"""The socket by which an OCI runtime hands a terminal's master over (runc: docs/terminals.md)."""

import array
import os
import socket
from pathlib import Path

from tiffin.errors import FailedPrecondition

TIMEOUT_S = 10.0
_FD_SIZE = array.array("i").itemsize


class ConsoleSocket:
    """Listens in a directory for one terminal."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "console.sock"
        self._directory = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._file.unlink(missing_ok=True)
        # A socket's path may have 107 bytes; this one is short, whatever the directory is called.
        self._listener.bind(f"/proc/self/fd/{self._directory}/{self._file.name}")
        self._listener.listen(1)
        self._listener.settimeout(TIMEOUT_S)

    @property
    def path(self) -> str:
        """Where the runtime, another process, finds it."""
        return f"/proc/{os.getpid()}/fd/{self._directory}/{self._file.name}"

    def receive(self) -> int:
        """Return the master that the runtime has sent; FailedPrecondition if it has not."""
        try:
            connection, _ = self._listener.accept()
            with connection:
                connection.settimeout(TIMEOUT_S)
                return _receive(connection)
        except TimeoutError:
            raise FailedPrecondition("the runtime sent no terminal") from None

    def close(self) -> None:
        """Stop listening and leave nothing."""
        self._listener.close()
        self._file.unlink(missing_ok=True)
        os.close(self._directory)


def send(path: str, master: int, name: str) -> None:
    """Hand the master of the terminal `name` over to whoever listens; OSError."""
    directory = os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))]
        connection.sendmsg([os.fsencode(name)], rights)


def _receive(connection: socket.socket) -> int:
    _, ancillary, _, _ = connection.recvmsg(
        4096, socket.CMSG_SPACE(_FD_SIZE), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % _FD_SIZE])
    if len(descriptors) != 1:
        raise FailedPrecondition("the runtime sent no terminal")
    return descriptors[0]
