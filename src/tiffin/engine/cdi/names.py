"""Qualified device names, `vendor.com/class=name` (CDI specification, section Fully-qualified)."""

import re

from tiffin.errors import InvalidArgument

_KIND = re.compile(r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?/[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")


def is_kind(text: str) -> bool:
    """Tell whether `text` is `vendor/class`."""
    return _KIND.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Tell whether `text` may name a device of a kind."""
    return _NAME.fullmatch(text) is not None


def is_qualified(text: str) -> bool:
    """Tell whether `text` is `vendor/class=name`."""
    kind, separator, name = text.partition("=")
    return bool(separator) and is_kind(kind) and is_name(name)


def check_qualified(text: str) -> None:
    """Raise InvalidArgument unless `text` is a qualified device name."""
    if not is_qualified(text):
        raise InvalidArgument(f"invalid CDI device name {text!r}: expected vendor/class=name")
