import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.errors import InvalidArgument
from tiffin.layers import compression
from tiffin.layers.compression import Compression, compressor, decompressor, sniff
from tiffin.layers.readahead import ReadAhead
from tiffin.spec.digest import digest_bytes

COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.NONE: bytes,
    Compression.GZIP: gzip.compress,
    Compression.ZSTD: zstandard.ZstdCompressor().compress,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lzma.compress,
}
COMPRESSED = [kind for kind in COMPRESS if kind is not Compression.NONE]


class Trickle:
    def __init__(self, data: bytes, step: int) -> None:
        self._stream = io.BytesIO(data)
        self._step = step

    def read(self, size: int, /) -> bytes:
        return self._stream.read(min(size, self._step))


def read_all(data: bytes, *, step: int = 1 << 20, size: int = 1 << 16) -> bytes:
    source = decompressor(Trickle(data, step))
    out = b""
    while piece := source.read(size):
        assert len(piece) <= size
        out += piece
    assert source.read(size) == b""
    return out


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=5000), min_size=1, max_size=3),
    st.sampled_from(COMPRESSED),
    st.integers(1, 3000),
    st.integers(1, 3000),
)
def test_any_number_of_members(parts: list[bytes], kind: Compression, step: int, size: int) -> None:
    data = b"".join(COMPRESS[kind](part) for part in parts)
    assert sniff(data) is kind
    assert read_all(data, step=step, size=size) == b"".join(parts)


@given(st.binary(max_size=100))
def test_what_is_not_compressed_passes(data: bytes) -> None:
    if sniff(data) is Compression.NONE:
        assert read_all(data, step=3) == data


@settings(deadline=None)
@given(st.binary(max_size=5000), st.sampled_from([Compression.GZIP, Compression.ZSTD]))
def test_compressors(data: bytes, kind: Compression) -> None:
    outputs = []
    for _ in range(2):
        sink = io.BytesIO()
        encoder = compressor(kind, sink)
        for at in range(0, len(data), 700):
            encoder.write(memoryview(data)[at : at + 700])
        encoder.finish()
        outputs.append(sink.getvalue())
    assert outputs[0] == outputs[1]
    assert read_all(outputs[0]) == data


def test_compressing_as_nothing_and_as_something_odd() -> None:
    sink = io.BytesIO()
    encoder = compressor(Compression.NONE, sink)
    encoder.write(b"x")
    encoder.finish()
    assert sink.getvalue() == b"x"
    with pytest.raises(InvalidArgument, match="xz"):
        compressor(Compression.XZ, sink)


@pytest.mark.parametrize("kind", [Compression.GZIP, Compression.BZIP2, Compression.XZ])
def test_cut_streams_are_noticed(kind: Compression) -> None:
    data = COMPRESS[kind](bytes(range(256)) * 100)
    for cut in (len(data) - 1, len(data) // 2):
        with pytest.raises(InvalidArgument, match=f"{kind}"):
            read_all(data[:cut])


@pytest.mark.parametrize("kind", COMPRESSED)
def test_damaged_streams_are_noticed(kind: Compression) -> None:
    data = bytearray(COMPRESS[kind](bytes(range(256)) * 100))
    for at in range(10, len(data) - 12):
        data[at] ^= 0xFF
    with pytest.raises(InvalidArgument, match=f"{kind}"):
        read_all(bytes(data))


def test_padding_after_gzip_is_no_garbage() -> None:
    data = gzip.compress(b"data")
    assert read_all(data + bytes(1000), step=7) == b"data"
    with pytest.raises(InvalidArgument, match="gzip"):
        read_all(data + b"garbage")


def test_skippable_frames_come_before_zstd() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note"
    assert read_all(skippable + COMPRESS[Compression.ZSTD](b"data")) == b"data"


@pytest.mark.parametrize("kind", COMPRESSED)
def test_bombs_expand_piece_by_piece(kind: Compression) -> None:
    source = decompressor(io.BytesIO(COMPRESS[kind](bytes(64 << 20))))
    assert len(source.read(1000)) <= 1000


def test_without_isal_zlib_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_fastest_zlib", lambda: zlib)
    sink = io.BytesIO()
    encoder = compressor(Compression.GZIP, sink)
    encoder.write(b"data")
    encoder.finish()
    assert read_all(sink.getvalue() * 2) == b"datadata"


def test_reading_ahead() -> None:
    data = bytes(range(256)) * 50000
    with ReadAhead(Trickle(data, 100_000)) as ahead:
        out = b""
        while piece := ahead.read(1):
            out += piece
        assert ahead.read(1) == b""
        assert (out, ahead.digest, ahead.size) == (data, digest_bytes(data), len(data))


def test_reading_ahead_hands_errors_over_and_can_be_left() -> None:
    with ReadAhead(decompressor(io.BytesIO(gzip.compress(b"x" * 100)[:-5]))) as ahead:
        with pytest.raises(InvalidArgument):
            list(iter(lambda: ahead.read(1), b""))
    with ReadAhead(Trickle(bytes(100 << 20), 1 << 20)) as ahead:
        assert ahead.read(1)
