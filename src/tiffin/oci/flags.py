"""Flags as runc takes them: `--name value`, `--name=value`, `-n value`; other words end them or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiffin.errors import InvalidArgument

FLAG, VALUE, NUMBER, LIST = "flag", "value", "number", "list"
"""Kinds: a switch, a text, an integer, a text that may be repeated."""

_TRUE, _FALSE = frozenset({"true", "1", "t", "T"}), frozenset({"false", "0", "f", "F"})


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag; `short` is its letter, "" for none."""

    name: str
    kind: str = VALUE
    short: str = ""
    help: str = ""


@dataclass(slots=True)
class Parsed:
    """Values by flag name, and the words after the flags."""

    values: dict[str, object] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        """Tell whether a switch is on."""
        return bool(self.values.get(name, False))

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        return str(self.values.get(name, default))

    def number(self, name: str, default: int = 0) -> int:
        """Return an integer."""
        value = self.values.get(name, default)
        assert isinstance(value, int)
        return value

    def texts(self, name: str) -> list[str]:
        """Return all values of a repeated flag."""
        value = self.values.get(name, [])
        assert isinstance(value, list)
        return value


def parse(flags: Sequence[Flag], arguments: Sequence[str], *, mixed: bool = False) -> Parsed:
    """Read the flags at the beginning, or `mixed` with other words, up to `--`.

    InvalidArgument in the words of Go's flag package.
    """
    known: Mapping[str, Flag] = {
        name: flag for flag in flags for name in (flag.name, flag.short) if name
    }
    parsed, rest = Parsed(), list(arguments)
    while rest:
        word = rest[0]
        if not word.startswith("-") or word == "-":
            if not mixed:
                break
            parsed.words.append(rest.pop(0))
            continue
        rest.pop(0)
        if word == "--":
            break
        name, separator, value = word.lstrip("-").partition("=")
        flag = known.get(name)
        if flag is None:
            raise InvalidArgument(f"flag provided but not defined: -{name}")
        if flag.kind == FLAG:
            value = value if separator else "true"
        elif not separator:
            if not rest:
                raise InvalidArgument(f"flag needs an argument: -{name}")
            value = rest.pop(0)
        _store(parsed, flag, value)
    parsed.words += rest
    return parsed


def _store(parsed: Parsed, flag: Flag, text: str) -> None:
    if flag.kind == FLAG:
        if text not in _TRUE | _FALSE:
            raise InvalidArgument(f'invalid boolean value "{text}" for -{flag.name}')
        parsed.values[flag.name] = text in _TRUE
    elif flag.kind == NUMBER:
        try:
            parsed.values[flag.name] = int(text)
        except ValueError:
            raise InvalidArgument(f'invalid value "{text}" for flag -{flag.name}') from None
    elif flag.kind == LIST:
        parsed.values.setdefault(flag.name, [])
        parsed.texts(flag.name).append(text)
    else:
        parsed.values[flag.name] = text
