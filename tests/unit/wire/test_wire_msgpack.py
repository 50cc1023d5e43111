import contextlib
import io

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.wire.msgpack import Extension, MsgpackError, pack, unpack

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=40,
)


def read(data: bytes, *, whole: bool = True) -> object:
    file = io.BytesIO(data)

    def exactly(size: int) -> bytes:
        found = file.read(size)
        if len(found) < size:
            raise EOFError
        return found

    value = unpack(exactly)
    assert not (whole and file.read())
    return value


@given(plain)
def test_another_codec_reads_what_we_write_and_writes_what_we_read(value: object) -> None:
    assert msgspec.msgpack.decode(pack(value)) == value
    assert read(msgspec.msgpack.encode(value)) == value


@pytest.mark.parametrize("length", [0, 31, 32, 255, 256, 65535, 65536])
def test_lengths_of_every_form(length: int) -> None:
    for value in ("x" * length, b"x" * length, [1] * length):
        assert msgspec.msgpack.decode(pack(value)) == value
        assert read(pack(value)) == value


@pytest.mark.parametrize("length", [1, 2, 3, 4, 8, 16, 17, 256, 65536])
def test_extensions(length: int) -> None:
    packed = pack(Extension(-3, b"x" * length))
    assert msgspec.msgpack.decode(packed) == msgspec.msgpack.Ext(-3, b"x" * length)
    assert read(packed) == Extension(-3, b"x" * length)


def test_text_that_is_none_survives() -> None:
    assert read(pack(b"\xff\xfe".decode(errors="surrogateescape"))) == "\udcff\udcfe"


@given(st.binary(max_size=64))
def test_anything_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(MsgpackError, EOFError, RecursionError):
        read(data, whole=False)


def test_what_cannot_be_packed() -> None:
    for value in (1 << 64, object()):
        with pytest.raises(TypeError):
            pack(value)
