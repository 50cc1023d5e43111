"""Log options as clients give them, checked when a container is created.

Rotation is on by default (unlike Docker's `json-file`): `max-size=20m`, `max-file=5`. Sizes are
decimal as in Docker: `10m` is 10 000 000 bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tiffin.errors import InvalidArgument

DEFAULT_MAX_SIZE = 20_000_000
DEFAULT_MAX_FILES = 5

_ATTRIBUTES = frozenset({"labels", "labels-regex", "env", "env-regex", "tag"})
_BUFFER = frozenset({"mode", "max-buffer-size"})
_FILE = frozenset({"max-size", "max-file", "compress"})
KNOWN: Mapping[str, frozenset[str]] = {
    "json-file": _FILE | _ATTRIBUTES | _BUFFER,
    "local": _FILE | _ATTRIBUTES | _BUFFER,
    "none": frozenset(),
}

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False", ""})


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Rotation of a file driver: bytes (0 for unlimited), number of files in all."""

    max_size: int
    max_files: int
    compress: bool


def validate(driver: str, options: Mapping[str, str]) -> None:
    """Raise InvalidArgument in Docker's words for an unknown driver or a bad option."""
    known = KNOWN.get(driver)
    if known is None:
        raise InvalidArgument(f"logger: no log driver named '{driver}' is registered")
    for name in options:
        if name not in known and driver != "none":
            raise InvalidArgument(f"unknown log opt '{name}' for {driver} log driver")
    if options.get("mode", "blocking") not in ("blocking", "non-blocking", ""):
        raise InvalidArgument(f"logger: logging mode not supported: {options['mode']}")
    if options.get("max-buffer-size"):
        if options.get("mode") != "non-blocking":
            raise InvalidArgument(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'"
            )
        _size("max-buffer-size", options["max-buffer-size"])
    if known & _FILE:
        parse(driver, options)


def parse(driver: str, options: Mapping[str, str]) -> FileOptions:
    """Return the rotation that valid options ask for."""
    size = options.get("max-size", "")
    max_size = DEFAULT_MAX_SIZE
    if size == "-1":
        max_size = 0
    elif size:
        max_size = _size("max-size", size)
        if max_size <= 0:
            raise InvalidArgument("max-size must be a positive number")
    max_files = DEFAULT_MAX_FILES
    if options.get("max-file"):
        max_files = _integer("max-file", options["max-file"])
        if max_files < 1:
            raise InvalidArgument("max-file cannot be less than 1")
    compress = _boolean("compress", options.get("compress", "true" if driver == "local" else ""))
    if compress and options.get("compress") and (max_files < 2 or not max_size):
        raise InvalidArgument(
            "compress cannot be true when max-file is less than 2 or max-size is not set"
        )
    return FileOptions(max_size, max_files, compress and max_files > 1)


def _size(name: str, text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(f"invalid value for {name}: invalid size: '{text}'")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def _integer(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidArgument(f"invalid value for {name}: {text!r} is not a number") from None


def _boolean(name: str, text: str) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise InvalidArgument(f"invalid value for {name}: {text!r} is not a boolean")
