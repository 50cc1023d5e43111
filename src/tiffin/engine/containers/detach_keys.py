"""The words of `--detach-keys`: `ctrl-p,ctrl-q`, `a,b`, `DEL`."""

from tiffin.errors import InvalidArgument

DEFAULT = b"\x10\x11"
"""Holds where none are given. Only terminals have any: other input may be anything."""

_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"
_DELETE = 127


def parse_detach_keys(text: str | None, name: str = "detach keys") -> bytes:
    """Return the byte sequence, empty for none; InvalidArgument calls it by `name`."""
    if not text:
        return b""
    try:
        return b"".join(map(_key, text.split(",")))
    except ValueError:
        raise InvalidArgument(f"Invalid {name} ({text}) provided") from None


def _key(word: str) -> bytes:
    """Return the byte of a word; ValueError."""
    if word == "DEL":
        return bytes([_DELETE])
    if len(word.encode()) == 1:
        return word.encode()
    control = word.removeprefix("ctrl-")
    if control == word or len(control) != 1:
        raise ValueError(word)
    return bytes([_CONTROL.index(control)])
