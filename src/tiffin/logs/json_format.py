r"""Docker's json-file record: `{"log":"text\n","stream":"stdout","time":"RFC3339Nano"}` and newline.

The text ends in `\n` unless the line goes on in the next record. Everything here works on whole
batches of lines by a few passes in C: a loop in Python over lines or bytes would cost more than the
process that writes them.
"""

import json

PARTIAL_SIZE = 16 * 1024
"""Longer lines are cut into records of this many bytes."""

START = b'{"log":"'
_SHORT = {0x08: b"\\b", 0x0C: b"\\f", 0x0D: b"\\r", 0x09: b"\\t"}
_CONTROLS = tuple(
    (bytes([code]), _SHORT.get(code, b"\\u%04x" % code)) for code in range(0x20) if code != 0x0A
)


def escape(data: bytes) -> bytes:
    """Return `data` as the inside of a JSON string, with newlines left as they are.

    Malformed UTF-8 becomes U+FFFD.
    """
    if not data.isascii():
        data = _well_formed(data)
    if b"\\" in data:
        data = data.replace(b"\\", b"\\\\")
    if b'"' in data:
        data = data.replace(b'"', b'\\"')
    for character, replacement in _CONTROLS:
        if character in data:
            data = data.replace(character, replacement)
    return data


def _well_formed(data: bytes) -> bytes:
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode(errors="replace").encode()
    return data


def ending(stream: str, attributes: dict[str, str], time: str) -> bytes:
    """Return what follows the text of a record, its newline included."""
    attrs = ""
    if attributes:
        attrs = '"attrs":' + json.dumps(attributes, separators=(",", ":")) + ","
    return f'","stream":"{stream}",{attrs}"time":"{time}"}}\n'.encode()


def lines(data: bytes, end: bytes) -> list[bytes]:
    """Return the records of `data`, whole lines of at most `PARTIAL_SIZE` bytes, in portions."""
    separator = b"\\n" + end + START
    return [START, escape(data[:-1]).replace(b"\n", separator), b"\\n", end]


def part(data: bytes, end: bytes) -> list[bytes]:
    """Return the record of a piece of a line that goes on, in portions."""
    return [START, escape(data), end]


def cut_point(data: bytes, start: int) -> int:
    """Return where to cut the long line that begins at `start`, never inside a character."""
    end = start + PARTIAL_SIZE
    for back in range(1, 4):
        lead = data[end - back]
        if lead < 0x80:
            break
        if lead >= 0xC0:
            width = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
            return end - back if width > back else end
    return end
