"""The functions of templates, and how Go prints and encodes values."""

import json as _json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiffin.wire.gotypes import GoMap


def truth(value: object) -> bool:
    """Go's notion of an empty value."""
    return bool(value)


def show(value: Any) -> str:  # noqa: ANN401
    """Print a value as Go's fmt does with %v."""
    if value is None:
        return "<no value>"
    if value is True or value is False:
        return str(value).lower()
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        if not isinstance(value, GoMap):
            return "{" + " ".join(show(item) for item in value.values()) + "}"
        return "map[" + " ".join(f"{k}:{show(v)}" for k, v in sorted(value.items())) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Sequence):
        return "[" + " ".join(show(item) for item in value) + "]"
    return str(value)


def to_json(value: object) -> str:
    """Encode as Go's encoding/json does, keys of maps in order."""
    text = _json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=_plain)
    return escape_html(text)


def _plain(value: object) -> object:
    plain = getattr(value, "template_json", None)
    return plain() if plain else None


def escape_html(text: str) -> str:
    """Escape what Go's encoder escapes in strings, so that JSON is safe inside HTML."""
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _index(value: Any, *keys: Any) -> Any:  # noqa: ANN401
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key, "")
        elif value is None:
            raise ValueError("index of untyped nil")
        else:
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = value[key]
    return value


_VERB = re.compile(r"%([-+# 0]*)(\d*)(?:\.(\d+))?([vdsqxXtfgeTc%])")


def _printf(pattern: str, *values: Any) -> str:  # noqa: ANN401
    left = list(values)

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not left:
            return f"%!{verb}(MISSING)"
        value = left.pop(0)
        dot = f".{precision}" if precision else ""
        if verb in "vst":
            text = show(value)
            text = text[: int(precision)] if precision and verb == "s" else text
            return ("%" + flags.replace("0", "") + width + "s") % text
        if verb == "q":
            return _json.dumps(show(value), ensure_ascii=False)
        if verb == "c":
            return chr(value)
        return str(("%" + flags + width + dot + verb) % value)

    return _VERB.sub(replace, pattern)


def _compare(check: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    return lambda first, *others: any(check(first, other) for other in others)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": to_json,
    "join": lambda items, separator: separator.join(show(item) for item in items or []),
    "split": lambda text, separator: text.split(separator),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "truncate": lambda text, length: text[:length],
    "println": lambda *values: " ".join(show(value) for value in values) + "\n",
    "print": lambda *values: "".join(show(value) for value in values),
    "printf": _printf,
    "len": lambda value: len(value or ()),
    "index": _index,
    "slice": lambda value, start=0, end=None: value[start:end],
    "not": lambda value: not truth(value),
    "and": lambda *values: next((v for v in values if not truth(v)), values[-1]),
    "or": lambda *values: next((v for v in values if truth(v)), values[-1]),
    "eq": _compare(lambda a, b: a == b),
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "urlquery": lambda text: text,
    "html": lambda text: text,
    "js": lambda text: text,
}
