"""Compressed streams: recognised by their first bytes, never by name or media type.

Readers hold little memory whatever the archive expands to: they produce as much as is asked for.
Each format's library is loaded by the first stream that needs it.
"""

import zlib
from collections.abc import Callable
from enum import StrEnum
from functools import cache, partial
from typing import Any, BinaryIO, Protocol, cast

from tiffin.errors import InvalidArgument

_COMPRESSED_CHUNK = 1 << 18
_XZ_MEMORY = 256 << 20
_WINDOW = 128 << 20
_GZIP = 31  # zlib's wbits: the largest window, with gzip's header and trailer
_ISAL_LEVEL = 2
_ZLIB_LEVEL = 6
_ZSTD_LEVEL = 3


@cache
def _fastest_zlib() -> Any:  # noqa: ANN401  # a module with zlib's interface
    try:
        from isal import isal_zlib
    except ImportError:  # not built for this architecture
        return zlib
    return isal_zlib


class Compression(StrEnum):
    """A compression format; the values are what OCI media types are suffixed with."""

    NONE = ""
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"


_MAGIC = (
    (b"\x1f\x8b", Compression.GZIP),
    (b"\x28\xb5\x2f\xfd", Compression.ZSTD),
    (b"BZh", Compression.BZIP2),
    (b"\xfd7zXZ\0", Compression.XZ),
)
_LONGEST_MAGIC = 6
_SKIPPABLE_FRAME = bytes(range(0x50, 0x60))


class Source(Protocol):
    """Something to read: up to `size` bytes at a time, b"" at the end."""

    def read(self, size: int, /) -> bytes:
        """Return some bytes."""


class Sink(Protocol):
    """Something to write to."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of `data`."""


class Compressor(Protocol):
    """A sink that compresses; `finish` writes what is held back and leaves the inner sink open."""

    def write(self, data: bytes | memoryview, /) -> object:
        """Take all of `data`."""

    def finish(self) -> None:
        """End the compressed stream."""


def sniff(head: bytes) -> Compression:
    """Return the format of a stream that begins with `head`; six bytes are enough."""
    for magic, compression in _MAGIC:
        if head.startswith(magic):
            return compression
    # zstd's skippable frames may come first (RFC 8878, 3.1.2).
    if len(head) >= 4 and head[0] in _SKIPPABLE_FRAME and head[1:4] == b"\x2a\x4d\x18":
        return Compression.ZSTD
    return Compression.NONE


def decompressor(stream: Source) -> Source:
    """Return the plain bytes of `stream`, decompressed if need be.

    Reading raises InvalidArgument where the compressed data is damaged or cut short.
    """
    head = _head(stream)
    source = _Prefixed(head, stream)
    compression = sniff(head)
    if compression is Compression.NONE:
        return source
    if compression is Compression.GZIP:
        return _Inflating(source)
    if compression is Compression.ZSTD:
        return _Zstd(source)
    return _Members(source, compression)


def compressor(compression: Compression, sink: Sink, *, level: int | None = None) -> Compressor:
    """Return a sink that writes to `sink` compressed, the same bytes for the same input.

    InvalidArgument for a format that images do not use.
    """
    if compression is Compression.NONE:
        return _Plain(sink)
    if compression is Compression.GZIP:
        return _Compressing(sink, _deflate(level))
    if compression is Compression.ZSTD:
        import zstandard

        encoder = zstandard.ZstdCompressor(level=_ZSTD_LEVEL if level is None else level)
        return _Compressing(sink, encoder.compressobj())
    raise InvalidArgument(f"cannot compress as {compression.value!r}")


def _deflate(level: int | None) -> Any:  # noqa: ANN401  # zlib's and isal's types have no name
    fast = _fastest_zlib()
    if fast is not zlib and (level is None or level <= _ISAL_LEVEL):
        return fast.compressobj(_ISAL_LEVEL if level is None else level, wbits=_GZIP)
    return zlib.compressobj(_ZLIB_LEVEL if level is None else level, wbits=_GZIP)


def _head(stream: Source) -> bytes:
    head = b""
    while len(head) < _LONGEST_MAGIC and (more := stream.read(_COMPRESSED_CHUNK)):
        head += more
    return head


class _Prefixed:
    """A stream with some bytes put back in front."""

    def __init__(self, head: bytes, stream: Source) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._stream.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


class _Inflating:
    """Gzip, of any number of members (RFC 1952, 2.2); zeros after the last are padding."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._pending = b""
        self._inflater: Any = None
        self._started = False
        self._zlib = _fastest_zlib()

    def read(self, size: int, /) -> bytes:
        while True:
            if not self._pending:
                self._pending = self._source.read(_COMPRESSED_CHUNK)
                if not self._pending:
                    if self._inflater is not None:
                        raise InvalidArgument("unexpected end of gzip data")
                    return b""
            if self._inflater is None and not self._begin():
                continue
            if data := self._inflate(size):
                return data

    def _begin(self) -> bool:
        """Begin the next member; False if there were only zeros."""
        if self._started:
            self._pending = self._pending.lstrip(b"\0")
            if not self._pending:
                return False
        self._inflater = self._zlib.decompressobj(wbits=_GZIP)
        self._started = True
        return True

    def _inflate(self, size: int) -> bytes:
        inflater = self._inflater
        try:
            data: bytes = inflater.decompress(self._pending, size)
        except (zlib.error, self._zlib.error) as error:
            raise InvalidArgument(f"damaged gzip data: {error}") from error
        if inflater.eof:
            self._pending = inflater.unused_data
            self._inflater = None
        else:
            self._pending = inflater.unconsumed_tail
        return data


class _Zstd:
    """Zstandard, of any number of frames (RFC 8878)."""

    def __init__(self, source: Source) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        # It only ever calls `read`, whatever its annotation says.
        readable = cast("BinaryIO", _Readable(source))
        self._reader = decoder.stream_reader(
            readable, read_size=_COMPRESSED_CHUNK, read_across_frames=True
        )

    def read(self, size: int, /) -> bytes:
        try:
            return self._reader.read(size)
        except self._error as error:
            raise InvalidArgument(f"damaged zstd data: {error}") from error


class _Readable:
    """Just `read`, as zstandard wants it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, size: int = -1) -> bytes:
        return self._source.read(size if size > 0 else _COMPRESSED_CHUNK)


class _Members:
    """Bzip2 and xz, of any number of streams one after the other."""

    def __init__(self, source: Source, compression: Compression) -> None:
        self._source = source
        self._compression = compression
        self._new, self._error = _stream_decoder(compression)
        self._decoder: Any = self._new()
        self._pending = b""

    def read(self, size: int, /) -> bytes:
        while True:
            if not self._pending and (self._decoder is None or self._decoder.needs_input):
                self._pending = self._source.read(_COMPRESSED_CHUNK)
                if not self._pending:
                    if self._decoder is not None:
                        raise InvalidArgument(f"unexpected end of {self._compression} data")
                    return b""
            if self._decoder is None:
                self._pending = self._pending.lstrip(b"\0")
                if not self._pending:
                    continue
                self._decoder = self._new()
            if data := self._decode(size):
                return data

    def _decode(self, size: int) -> bytes:
        try:
            data: bytes = self._decoder.decompress(self._pending, size)
        except (OSError, EOFError, ValueError, self._error) as error:
            raise InvalidArgument(f"damaged {self._compression} data: {error}") from error
        self._pending = b""
        if self._decoder.eof:
            self._pending = self._decoder.unused_data
            self._decoder = None
        return data


def _stream_decoder(compression: Compression) -> tuple[Callable[[], Any], type[Exception]]:
    """Return what makes a decoder of one stream, and what it raises beside OSError."""
    if compression is Compression.BZIP2:
        import bz2

        return bz2.BZ2Decompressor, EOFError
    import lzma

    return partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, _XZ_MEMORY), lzma.LZMAError


class _Plain:
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes | memoryview, /) -> object:
        return self._sink.write(data)

    def finish(self) -> None:
        pass


class _Compressing:
    def __init__(self, sink: Sink, encoder: Any) -> None:  # noqa: ANN401  # zlib-like, unnamed
        self._sink = sink
        self._encoder = encoder

    def write(self, data: bytes | memoryview, /) -> object:
        if compressed := self._encoder.compress(data):
            self._sink.write(compressed)
        return len(data)

    def finish(self) -> None:
        self._sink.write(self._encoder.flush())
