import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import InvalidArgument
from tiffin.wire import stdcopy

frames = st.lists(st.tuples(st.sampled_from([0, 1, 2, 3]), st.binary(max_size=300)))


def joined(pieces: list[stdcopy.Piece]) -> list[tuple[int, bytes]]:
    runs: list[tuple[int, bytes]] = []
    for piece in pieces:
        if runs and runs[-1][0] == piece.stream:
            runs[-1] = (piece.stream, runs[-1][1] + piece.data)
        else:
            runs.append((piece.stream, piece.data))
    return runs


@given(frames, st.lists(st.integers(1, 50), min_size=1))
def test_any_portioning_gives_the_same_streams(
    parts: list[tuple[int, bytes]], sizes: list[int]
) -> None:
    encoded = b"".join(stdcopy.frame(stream, data) for stream, data in parts)
    decoder = stdcopy.Decoder()
    pieces: list[stdcopy.Piece] = []
    position = number = 0
    while position < len(encoded):
        size = sizes[number % len(sizes)]
        pieces += decoder.feed(encoded[position : position + size])
        position += size
        number += 1
    expected = joined([stdcopy.Piece(stream, data) for stream, data in parts if data])
    assert joined(pieces) == expected
    assert decoder.is_between_frames


def test_a_frame_is_the_header_and_the_bytes() -> None:
    assert stdcopy.frame(stdcopy.STDERR, b"abc") == b"\x02\0\0\0\0\0\0\x03abc"


def test_a_cut_frame_is_noticed() -> None:
    decoder = stdcopy.Decoder()
    decoder.feed(stdcopy.frame(1, b"abc")[:-1])
    assert not decoder.is_between_frames


@pytest.mark.parametrize("junk", [b"\x09\0\0\0\0\0\0\x01x", b"\x01x\0\0\0\0\0\x01x"])
def test_what_is_not_framed_is_refused(junk: bytes) -> None:
    with pytest.raises(InvalidArgument, match="Unrecognized input header"):
        stdcopy.Decoder().feed(junk)
