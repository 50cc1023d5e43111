"""MessagePack, https://github.com/msgpack/msgpack/blob/master/spec.md: what log protocols need.

Text that is not UTF-8 survives: it is decoded and encoded with surrogate escapes.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

_MOST = 1 << 24
"""Longer strings and collections are refused when they are read."""


class MsgpackError(ValueError):
    """The bytes are no value of this format (or not of the part of it that is known here)."""


@dataclass(frozen=True, slots=True)
class Extension:
    """A value of an application's own type, -128 to 127."""

    code: int
    data: bytes


def pack(value: object) -> bytes:
    """Return the shortest encoding; TypeError for what has none."""
    out: list[bytes] = []
    _pack(value, out)
    return b"".join(out)


def _pack(value: object, out: list[bytes]) -> None:
    if value is None:
        out.append(b"\xc0")
    elif isinstance(value, bool):
        out.append(b"\xc3" if value else b"\xc2")
    elif isinstance(value, int):
        out.append(_integer(value))
    elif isinstance(value, float):
        out.append(struct.pack(">Bd", 0xCB, value))
    elif isinstance(value, str):
        data = value.encode(errors="surrogateescape")
        out += (_head(len(data), 0xA0, 32, (0xD9, 0xDA, 0xDB)), data)
    elif isinstance(value, bytes):
        out += (_head(len(value), 0, 0, (0xC4, 0xC5, 0xC6)), value)
    elif isinstance(value, Extension):
        out += (_extension(value), value.data)
    elif isinstance(value, (list, tuple)):
        out.append(_head(len(value), 0x90, 16, (0, 0xDC, 0xDD)))
        for item in value:
            _pack(item, out)
    elif isinstance(value, dict):
        out.append(_head(len(value), 0x80, 16, (0, 0xDE, 0xDF)))
        for key, item in value.items():
            _pack(key, out)
            _pack(item, out)
    else:
        raise TypeError(f"cannot be packed: {type(value).__name__}")


def _integer(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack("b" if value < 0 else "B", value)
    forms = (
        ((0xCC, "B"), (0xCD, "H"), (0xCE, "I"), (0xCF, "Q"))
        if value >= 0
        else ((0xD0, "b"), (0xD1, "h"), (0xD2, "i"), (0xD3, "q"))
    )
    for code, form in forms:
        try:
            return struct.pack(">B" + form, code, value)
        except struct.error:
            continue
    raise TypeError(f"cannot be packed: {value} needs more than 64 bits")


def _head(length: int, short: int, limit: int, codes: tuple[int, int, int]) -> bytes:
    """Return type and length: in one byte below `limit`, else with 1 (if there is that), 2, 4."""
    if length < limit:
        return bytes([short | length])
    if length < 256 and codes[0]:
        return struct.pack(">BB", codes[0], length)
    if length < 1 << 16:
        return struct.pack(">BH", codes[1], length)
    return struct.pack(">BI", codes[2], length)


def _extension(value: Extension) -> bytes:
    length = len(value.data)
    fixed = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}.get(length)
    if fixed is not None:
        return struct.pack(">Bb", fixed, value.code)
    return _head(length, 0, 0, (0xC7, 0xC8, 0xC9)) + struct.pack(">b", value.code)


def unpack(read: Callable[[int], bytes]) -> object:
    """Return the next value; `read` gives exactly as many bytes as asked for. MsgpackError."""
    first = read(1)[0]
    if first < 0x80:
        return first
    if first >= 0xE0:
        return first - 0x100
    if first < 0x90:
        return _unpack_map(read, first & 0x0F)
    if first < 0xA0:
        return [unpack(read) for _ in range(first & 0x0F)]
    if first < 0xC0:
        return _text(read(first & 0x1F))
    return _unpack_long(read, first)


_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b",
            0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}  # fmt: skip
_LENGTHS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xC7: ">B", 0xC8: ">H", 0xC9: ">I", 0xD9: ">B",
            0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}  # fmt: skip
_CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


def _unpack_long(read: Callable[[int], bytes], first: int) -> object:
    if first in _CONSTANTS:
        return _CONSTANTS[first]
    if first in _NUMBERS:
        return _number(read, _NUMBERS[first])
    if 0xD4 <= first <= 0xD8:
        return Extension(int(_number(read, ">b")), read(1 << (first - 0xD4)))
    if first not in _LENGTHS:
        raise MsgpackError(f"not a value: {first:#x}")
    length = int(_number(read, _LENGTHS[first]))
    if length > _MOST:
        raise MsgpackError(f"too long: {length}")
    if first <= 0xC6:
        return read(length)
    if first <= 0xC9:
        return Extension(int(_number(read, ">b")), read(length))
    if first <= 0xDB:
        return _text(read(length))
    if first <= 0xDD:
        return [unpack(read) for _ in range(length)]
    return _unpack_map(read, length)


def _number(read: Callable[[int], bytes], form: str) -> float:
    found: float = struct.unpack(form, read(struct.calcsize(form)))[0]
    return found


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _unpack_map(read: Callable[[int], bytes], length: int) -> dict[object, object]:
    found: dict[object, object] = {}
    for _ in range(length):
        key = unpack(read)
        if isinstance(key, (list, dict)):
            raise MsgpackError("a key is a collection")
        found[key] = unpack(read)
    return found
