"""The conversation between the runtime and the child that becomes a container's process.

    runtime                                   child
       │ ── clone3 ──────────────────────────► │
       │ ◄── NETWORK  + descriptors ────────── │  stands in its namespaces (if asked for)
       │ ◄── STEP, WARNING  (any number) ───── │  mounts its root
       │ ── PREPARED ────────────────────────► │  its cgroup is made, its ids are mapped: enters it
       │ ◄── HOOKS ─────────────────────────── │  if the runtime has some to run before the pivot
       │ ── PREPARED ────────────────────────► │
       │ ◄── READY    + console ────────────── │  has no privileges left; everything stands but the program
       │ ── START ───────────────────────────► │
       │ ◄── end of file ───────────────────── │  the program was executed
       │ ◄── ERROR (instead of any) ────────── │  it failed, and ends

Where the runtime ends after READY, `start` is another process: it connects to the socket that the child
was given as its gate, and the conversation goes on there.

One SOCK_SEQPACKET pair; each message is a kind byte and UTF-8 text, with descriptors attached. The
child's end is close-on-exec, which is what makes the end of file mean success.
"""

import array
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

_LONGEST = 65536
_MOST_DESCRIPTORS = 8


class Kind(IntEnum):
    """What a message says."""

    PREPARED = 1
    NETWORK = 2
    STEP = 3
    WARNING = 4
    READY = 5
    START = 6
    ERROR = 7
    HOOKS = 9
    CLOSED = 8
    """The other side is gone; never sent."""
    ORDER = 10
    """What a spare child is to become (`spare.py`)."""
    INVALID = 11
    """As ERROR, but it is the configuration that is wrong."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message with the descriptors that came along, which belong to the receiver."""

    kind: Kind
    text: str = ""
    descriptors: tuple[int, ...] = ()


class Channel:
    """One end of the conversation."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end

    def fileno(self) -> int:
        """Return the descriptor, for poll(2)."""
        return self._socket.fileno()

    def send(self, kind: Kind, text: str = "", descriptors: Sequence[int] = ()) -> None:
        """Send one message; OSError (EPIPE) if the other side is gone."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        payload = bytes([kind]) + text.encode(errors="surrogateescape")[: _LONGEST - 1]
        self._socket.sendmsg([payload], ancillary if descriptors else [], socket.MSG_NOSIGNAL)

    def receive(self) -> Message:
        """Wait for one message; CLOSED at the end."""
        size = array.array("i").itemsize
        try:
            payload, ancillary = self._receive(size)
        except ConnectionResetError:
            # It ended with something unread; what it had said before follows that error (unix(7)).
            payload, ancillary = self._receive(size)
        descriptors = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(data[: len(data) - len(data) % size])
        if not payload:
            return Message(Kind.CLOSED)
        text = payload[1:].decode(errors="surrogateescape")
        return Message(Kind(payload[0]), text, tuple(descriptors))

    def _receive(self, size: int) -> tuple[bytes, list[tuple[int, int, bytes]]]:
        payload, ancillary, _, _ = self._socket.recvmsg(
            _LONGEST, socket.CMSG_SPACE(size * _MOST_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
        )
        return payload, ancillary

    def close(self) -> None:
        """Close this end."""
        self._socket.close()


def pair() -> tuple[Channel, Channel]:
    """Return the two ends, both close-on-exec."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    return Channel(ours), Channel(theirs)


def close_all(descriptors: Sequence[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in descriptors:
        os.close(fd)
