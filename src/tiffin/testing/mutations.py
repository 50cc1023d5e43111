"""Mutations of archives: from valid bytes to almost valid ones."""

import random

_BLOCK = 512
_CHECKSUM = slice(148, 156)
_HEADER_FIELDS = (
    slice(0, 100), slice(100, 108), slice(108, 116), slice(116, 124), slice(124, 136),
    slice(136, 148), slice(156, 157), slice(157, 257), slice(257, 265), slice(329, 345),
    slice(345, 500),
)  # fmt: skip
_NUMBERS = (
    b"\x80" + b"\xff" * 11, b"\xff" * 12, b"77777777777\0", b"0000000\0", b"-1\0", b" 1 \0", b"9\0"
)  # fmt: skip
_NAMES = (
    b"../../../../outside/x\0", b"/etc/passwd\0", b"a/../../x\0", b".wh.\0", b".wh..\0",
    b".wh..wh..opq\0", b"\xff\xfe\n\0", b"", b".\0", b"..\0", b"a" * 100, b"a//b/./c\0",
)  # fmt: skip


def mutate(data: bytes, dice: random.Random) -> bytes:
    """Return `data` with one to four things wrong."""
    for _ in range(dice.randint(1, 4)):
        data = dice.choice((_flip, _cut, _drop, _double, _insert, _header, _header, _header))(
            data, dice
        )
    return data


def _flip(data: bytes, dice: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(dice.randint(1, 8)):
        out[dice.randrange(len(out))] = dice.randrange(256)
    return bytes(out)


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randint(1, len(data))]


def _span(data: bytes, dice: random.Random) -> tuple[int, int]:
    unit = dice.choice((1, _BLOCK))
    start = dice.randrange(len(data)) // unit * unit
    return start, start + dice.randint(1, 4) * unit


def _drop(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return data[:start] + data[end:] or data


def _double(data: bytes, dice: random.Random) -> bytes:
    start, end = _span(data, dice)
    return data[:end] + data[start:]


def _insert(data: bytes, dice: random.Random) -> bytes:
    start, _ = _span(data, dice)
    return data[:start] + dice.randbytes(dice.choice((1, _BLOCK))) + data[start:]


def _header(data: bytes, dice: random.Random) -> bytes:
    """Change a field of a tar header and let its checksum be right."""
    starts = [
        start for start in range(0, len(data) - _BLOCK + 1, _BLOCK)
        if data[start + 257 : start + 262] == b"ustar"
    ]  # fmt: skip
    if not starts:
        return _flip(data, dice)
    start = dice.choice(starts)
    block = bytearray(data[start : start + _BLOCK])
    field = dice.choice(_HEADER_FIELDS)
    length = field.stop - field.start
    if length == 1:
        value = bytes([dice.choice(b"0123456789LKxgSDMV\0A")])
    elif length in (8, 12):
        value = dice.choice(_NUMBERS)
    else:
        value = dice.choice(_NAMES)
    block[field] = value[:length].ljust(length, b"\0")
    block[_CHECKSUM] = b" " * 8
    block[_CHECKSUM] = b"%06o\0 " % sum(block)
    return data[:start] + bytes(block) + data[start + _BLOCK :]
