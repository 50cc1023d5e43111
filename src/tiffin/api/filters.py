"""The `filters` query parameter: a JSON object of values by key, in its two historic shapes.

`{"label": ["a=b"]}` is what documents say, `{"label": {"a=b": true}}` is what Go clients send.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import msgspec

from tiffin.errors import InvalidArgument

_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


class Filters:
    """Parsed filters; a key that was not given matches everything."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Iterable[str]] | None = None) -> None:
        self._values: Mapping[str, tuple[str, ...]] = MappingProxyType(
            {key: tuple(dict.fromkeys(items)) for key, items in (values or {}).items()}
        )

    @classmethod
    def parse(cls, text: str) -> "Filters":
        """Parse the parameter; "" is no filters. InvalidArgument if it has another shape."""
        if not text:
            return cls()
        try:
            raw = msgspec.json.decode(text, type=dict[str, list[str] | dict[str, bool]])
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise InvalidArgument("invalid filter") from error
        return cls({key: list(values) for key, values in raw.items()})

    def __bool__(self) -> bool:
        return any(self._values.values())

    def __contains__(self, key: object) -> bool:
        return bool(self._values.get(key, ())) if isinstance(key, str) else False

    def __repr__(self) -> str:
        return f"Filters({dict(self._values)!r})"

    def keys(self) -> tuple[str, ...]:
        """Return the keys that were given."""
        return tuple(self._values)

    def get(self, key: str) -> list[str]:
        """Return the values given for `key`; empty if none."""
        return list(self._values.get(key, ()))

    def exact(self, key: str, value: str) -> bool:
        """Tell if `key` was not given or one of its values is `value`."""
        wanted = self._values.get(key, ())
        return not wanted or value in wanted

    def fuzzy(self, key: str, value: str) -> bool:
        """Tell if `key` was not given or `value` starts with one of its values."""
        wanted = self._values.get(key, ())
        return not wanted or any(value.startswith(prefix) for prefix in wanted)

    def match(self, key: str, value: str) -> bool:
        """Tell if `key` was not given or one of its values, a regular expression, is found."""
        wanted = self._values.get(key, ())
        return not wanted or any(_found(pattern, value) for pattern in wanted)

    def boolean(self, key: str, *, default: bool = False) -> bool:
        """Return the one truth value of `key`; InvalidArgument for anything else."""
        wanted = self._values.get(key, ())
        if not wanted:
            return default
        word = wanted[0].lower()
        if len(wanted) > 1 or word not in _TRUE | _FALSE:
            shown = " ".join(wanted)
            raise InvalidArgument(f"invalid filter '{key}=[{shown}]'")
        return word in _TRUE

    def matches_labels(self, labels: Mapping[str, str] | None) -> bool:
        """Tell if an object with `labels` passes `label` (all of them) and `label!` (not all)."""
        have = labels or {}
        if not _has_all(have, self._values.get("label", ())):
            return False
        unwanted = self._values.get("label!", ())
        return not unwanted or not _has_all(have, unwanted)

    def validate(self, allowed: Iterable[str]) -> "Filters":
        """Return self if only `allowed` keys were given; InvalidArgument names the first other."""
        known = frozenset(allowed)
        for key in self._values:
            if key not in known:
                raise InvalidArgument(f"invalid filter '{key}'")
        return self


def _has_all(labels: Mapping[str, str], wanted: Iterable[str]) -> bool:
    for item in wanted:
        name, separator, value = item.partition("=")
        if name not in labels or (separator and labels[name] != value):
            return False
    return True


def _found(pattern: str, value: str) -> bool:
    if pattern == value:
        return True
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return False
