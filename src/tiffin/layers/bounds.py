"""Decompression that ends where it cannot be meant: archives that expand without measure.

What is unpacked is not known beforehand, only that real layers do not shrink to nothing: a stream
may grow to `FREE` bytes in any case, and beyond that to `RATIO` times what was read of it.
"""

from tiffin.errors import InvalidArgument
from tiffin.layers.compression import Source, decompressor

FREE = 2 << 30
RATIO = 250
"""A file of zeros shrinks to a 1000th with gzip, and to far less with the others; text to a 20th."""


def bounded(stream: Source) -> Source:
    """Return the plain bytes of `stream`; reading raises InvalidArgument for a bomb."""
    counted = _Counted(stream)
    return _Bounded(decompressor(counted), counted)


class _Counted:
    """A stream that knows how much was read of it."""

    def __init__(self, stream: Source) -> None:
        self._stream = stream
        self.position = 0

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.position += len(data)
        return data


class _Bounded:
    """Plain bytes, and the stream that they come from."""

    def __init__(self, plain: Source, stream: _Counted) -> None:
        self._plain = plain
        self._stream = stream
        self._position = 0

    def read(self, size: int, /) -> bytes:
        data = self._plain.read(size)
        self._position += len(data)
        if self._position > FREE and self._position > RATIO * self._stream.position:
            raise InvalidArgument(
                f"decompression bomb: {self._stream.position} bytes have become more than"
                f" {self._position}"
            )
        return data
