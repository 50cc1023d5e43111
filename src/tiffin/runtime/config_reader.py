"""Typed access to the members of decoded JSON, for what a `config.json` consists of."""

from typing import Any

from tiffin.errors import InvalidArgument

JsonObject = dict[str, Any]


class Reader:
    """Typed access to the members of one JSON object; null counts as absent, as in Go."""

    def __init__(self, value: Any, name: str) -> None:  # noqa: ANN401
        if not isinstance(value, dict):
            raise InvalidArgument(f"{name} must be an object")
        self.value: JsonObject = value
        self.name = name

    def text(self, key: str, default: str = "") -> str:
        """Return a string, `default` if it is absent; InvalidArgument, as of all these."""
        return str(self._typed(key, str, "a string", default))

    def flag(self, key: str) -> bool:
        """Return whether it is true."""
        return bool(self._typed(key, bool, "true or false", False))

    def integer(self, key: str, default: int = 0) -> int:
        """Return an integer; true and false are none."""
        value = self._typed(key, int, "an integer", default)
        if isinstance(value, bool):
            raise InvalidArgument(f"{self.name}.{key} must be an integer")
        return int(value)

    def section(self, key: str) -> "Reader":
        """Return the reader of an object, of an empty one if it is absent."""
        return Reader(self._typed(key, dict, "an object", {}), f"{self.name}.{key}")

    def sections(self, key: str) -> list["Reader"]:
        """Return readers of an array of objects."""
        items = self._typed(key, list, "an array", [])
        return [Reader(item, f"{self.name}.{key}[{at}]") for at, item in enumerate(items)]

    def strings(self, key: str) -> tuple[str, ...]:
        """Return an array of strings, none of which holds a NUL byte."""
        items = self._typed(key, list, "an array", [])
        if not all(isinstance(item, str) for item in items):
            raise InvalidArgument(f"{self.name}.{key} must be an array of strings")
        if any("\0" in item for item in items):
            raise InvalidArgument(f"{self.name}.{key} must not hold a NUL byte")
        return tuple(items)

    def integers(self, key: str) -> tuple[int, ...]:
        """Return an array of integers."""
        items = self._typed(key, list, "an array", [])
        if not all(isinstance(item, int) and not isinstance(item, bool) for item in items):
            raise InvalidArgument(f"{self.name}.{key} must be an array of integers")
        return tuple(items)

    def strings_by_name(self) -> dict[str, str]:
        """Return the object itself, all of whose values are strings."""
        if not all(isinstance(item, str) for item in self.value.values()):
            raise InvalidArgument(f"{self.name} must have string values")
        return self.value

    def _typed(self, key: str, kind: type, words: str, default: Any) -> Any:  # noqa: ANN401
        value = self.value.get(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise InvalidArgument(f"{self.name}.{key} must be {words}")
        return value
