"""The words of `--detach-keys`: `ctrl-p,ctrl-q`, `a,b`, `DEL`."""

from tiffin.errors import InvalidArgument

DEFAULT = b"\x10\x11"

_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


def parse_detach_keys(text: str | None) -> bytes:
    """Return the byte sequence, the default for none; InvalidArgument quotes a bad key."""
    if not text:
        return DEFAULT
    return bytes(_key(word) for word in text.split(","))


def _key(word: str) -> int:
    if word == "DEL":
        return 127
    if len(word) == 1 and ord(word) < 128:
        return ord(word)
    name = word.lower().removeprefix("ctrl-")
    if name != word.lower() and len(name) == 1:
        if "a" <= name <= "z":
            return ord(name) - ord("a") + 1
        if name in _CONTROL:
            return _CONTROL[name]
    raise InvalidArgument(f"Unknown character: '{word}'")
