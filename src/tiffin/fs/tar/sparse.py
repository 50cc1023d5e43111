"""Sparse files in GNU's four notations (GNU tar manual, Storing Sparse Files).

Old GNU: a map in the header and in blocks that follow it. PAX 0.0 and 0.1: a map in the extended
header. PAX 1.0: a map as decimal lines at the start of the data.
"""

from collections.abc import Callable, Sequence

from tiffin.errors import InvalidArgument
from tiffin.fs.tar import header, pax

PREFIX = "GNU.sparse."
MAX_EXTENTS = 100_000

Extents = tuple[tuple[int, int], ...]
Take = Callable[[int], bytes]

_IN_HEADER, _IN_EXTENSION, _PAIR = 4, 21, 24


def old_gnu(block: bytes, take: Take) -> tuple[int, Extents, int]:
    """Return size, extents and the number of extension blocks that were taken."""
    extents: list[tuple[int, int]] = []
    _collect(block[386 : 386 + _IN_HEADER * _PAIR], extents)
    size = header.number(block[483:495])
    more, blocks = block[482], 0
    while more:
        extension = take(header.BLOCK)
        _collect(extension[: _IN_EXTENSION * _PAIR], extents)
        more = extension[504]
        blocks += 1
        if len(extents) > MAX_EXTENTS:
            raise InvalidArgument("sparse map is too long")
    return size, tuple(extents), blocks


def _collect(pairs: bytes, extents: list[tuple[int, int]]) -> None:
    for at in range(0, len(pairs), _PAIR):
        if pairs[at] == 0:
            return
        offset = header.number(pairs[at : at + 12])
        extents.append((offset, header.number(pairs[at + 12 : at + 24])))


def from_pax(
    records: Sequence[tuple[str, bytes]], stored: int, take: Take
) -> tuple[int, Extents | None, int]:
    """Return size, extents (None if the file is not sparse) and the bytes of data the map took."""
    fields = dict(records)
    size = fields.get("GNU.sparse.realsize", fields.get("GNU.sparse.size"))
    if fields.get("GNU.sparse.major") == b"1":
        if size is None:
            raise InvalidArgument("sparse file without a size")
        extents, used = _data_map(stored, take)
        return pax.number(size), extents, used
    if "GNU.sparse.map" in fields:
        numbers = [pax.number(each) for each in fields["GNU.sparse.map"].split(b",") if each]
    else:
        wanted = ("GNU.sparse.offset", "GNU.sparse.numbytes")
        numbers = [pax.number(value) for key, value in records if key in wanted]
        if not numbers:
            return stored, None, 0
    if size is None or len(numbers) % 2:
        raise InvalidArgument("malformed sparse map")
    return pax.number(size), _pairs(numbers), 0


def _data_map(stored: int, take: Take) -> tuple[Extents, int]:
    data, lines, count, used = b"", 0, 1, 0
    while lines < count:
        if used + header.BLOCK > stored or used > MAX_EXTENTS * 40:
            raise InvalidArgument("malformed sparse map")
        block = take(header.BLOCK)
        used += header.BLOCK
        data += block
        lines += block.count(b"\n")
        if count == 1 and lines:
            count = 1 + 2 * pax.number(data.partition(b"\n")[0])
            if count > 1 + 2 * MAX_EXTENTS:
                raise InvalidArgument("sparse map is too long")
    return _pairs([pax.number(line) for line in data.split(b"\n")[1:count]]), used


def _pairs(numbers: Sequence[int]) -> Extents:
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def check(name: str, size: int, extents: Extents, stored: int) -> None:
    """InvalidArgument unless the extents are in order, inside `size` and sum up to `stored`."""
    end = 0
    for offset, length in extents:
        if offset < end or length < 0:
            raise InvalidArgument(f"entry {name!r}: sparse map is not in order")
        end = offset + length
    if end > size or size >= pax.MAX_NUMBER or sum(length for _, length in extents) != stored:
        raise InvalidArgument(f"entry {name!r}: sparse map does not fit its size")
