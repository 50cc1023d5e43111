"""Values of options, read as Docker reads them; ValueError says what is wrong in its words."""

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)*) ?([kmgtp]?)i?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def decimal_size(text: str) -> int:
    """Return bytes; `10m` is 10 000 000 of them."""
    return _size(text, 1000)


def binary_size(text: str) -> int:
    """Return bytes; `1m` is 1 048 576 of them."""
    return _size(text, 1024)


def _size(text: str, base: int) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"invalid size: '{text}'")
    try:
        return int(float(match[1]) * base ** _POWERS[match[2].lower()])
    except (ValueError, OverflowError):
        raise ValueError(f"invalid size: '{text}'") from None


def boolean(text: str) -> bool:
    """Return the truth of `1`, `t`, `true`, `0`, `False` …."""
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def integer(text: str, function: str = "Atoi") -> int:
    """Return a decimal number; `function` is the one of Go that the message names."""
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", text):
        raise ValueError(f'strconv.{function}: parsing "{text}": invalid syntax')
    return int(text)
