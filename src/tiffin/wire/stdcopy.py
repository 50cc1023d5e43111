"""The 8-byte framing that carries stdout and stderr over one connection (no TTY).

A frame is `[stream, 0, 0, 0, length as big-endian uint32]` and then `length` bytes. Source: Engine
API reference, "Stream format" of `POST /containers/{id}/attach`.
"""

import struct
from dataclasses import dataclass

from tiffin.errors import InvalidArgument

STDIN, STDOUT, STDERR, SYSTEM_ERROR = range(4)
HEADER_SIZE = 8
NAMES = ("stdin", "stdout", "stderr", "systemerr")

_HEADER = struct.Struct(">BxxxI")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of bytes of one stream; a long frame may come as several pieces."""

    stream: int
    data: bytes


def header(stream: int, length: int) -> bytes:
    """Return the 8 bytes that go before `length` bytes of `stream`."""
    return _HEADER.pack(stream, length)


def frame(stream: int, data: bytes) -> bytes:
    """Return one whole frame."""
    return _HEADER.pack(stream, len(data)) + data


class Decoder:
    """Takes a framed byte stream in any portions and gives its pieces back.

    It never waits for the end of a frame and holds at most 7 bytes.
    """

    def __init__(self) -> None:
        self._head = b""
        self._stream = STDOUT
        self._left = 0

    @property
    def is_between_frames(self) -> bool:
        """Whether the stream may end here without having been cut off."""
        return not self._head and not self._left

    def feed(self, data: bytes) -> list[Piece]:
        """Return the pieces in `data`; InvalidArgument if it is no framed stream."""
        pieces: list[Piece] = []
        position = 0
        while position < len(data):
            if self._left:
                taken = data[position : position + self._left]
                position += len(taken)
                self._left -= len(taken)
                pieces.append(Piece(self._stream, taken))
                continue
            wanted = HEADER_SIZE - len(self._head)
            self._head += data[position : position + wanted]
            position += wanted
            if len(self._head) == HEADER_SIZE:
                self._stream, self._left = _HEADER.unpack(self._head)
                if self._stream > SYSTEM_ERROR or self._head[1:4] != b"\0\0\0":
                    raise InvalidArgument(f"Unrecognized input header: {self._head[0]}")
                self._head = b""
        return pieces
