"""Docker's flag rules (those of pflag), as a table of flags and one parser.

Long flags take `--name value` or `--name=value`; booleans only `--name` or `--name=false`. Short ones
may be bundled (`-it`), with the value attached to the last (`-p80:80`, `-p=80:80`). Commands that run
something (`interspersed=False`) stop at the first argument, others take flags anywhere; `--` ends them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class UsageError(Exception):
    """The command line does not fit the command; the message is Docker's."""


class Kind(NamedTuple):
    """How a flag's text becomes a value. `label` is what `--help` prints after the name."""

    label: str
    parse: Callable[[str], Any]
    repeats: bool = False


class Flag(NamedTuple):
    """One flag. `default` of a repeated flag is always an empty list."""

    name: str
    kind: Kind
    help: str
    short: str = ""
    default: Any = None
    shown_default: str = ""
    hidden: bool = False


class Values:
    """Parsed flags by their long name, dashes and all: `values["cap-add"]`."""

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._values: dict[str, Any] = {
            flag.name: [] if flag.kind.repeats else flag.default for flag in flags
        }
        self._given: set[str] = set()

    @property
    def names(self) -> set[str]:
        """Names of all flags that the command knows."""
        return set(self._values)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401  # a flag's kind decides
        return self._values[name]

    def given(self, name: str) -> bool:
        """Tell whether the flag stood on the command line."""
        return name in self._given

    def set(self, flag: Flag, value: Any) -> None:  # noqa: ANN401  # a flag's kind decides
        """Record one occurrence."""
        self._given.add(flag.name)
        if flag.kind.repeats:
            self._values[flag.name].extend(value if isinstance(value, list) else [value])
        else:
            self._values[flag.name] = value


def parse(
    flags: Sequence[Flag], arguments: Sequence[str], *, interspersed: bool = True
) -> tuple[Values, list[str]]:
    """Split `arguments` into flag values and positional arguments; UsageError."""
    return _Parser(flags, arguments, interspersed=interspersed).run()


class _Parser:
    def __init__(
        self, flags: Sequence[Flag], arguments: Sequence[str], *, interspersed: bool
    ) -> None:
        self._by_name = {flag.name: flag for flag in flags}
        self._by_short = {flag.short: flag for flag in flags if flag.short}
        self._left = list(reversed(arguments))
        self._interspersed = interspersed
        self._values = Values(flags)

    def run(self) -> tuple[Values, list[str]]:
        positional: list[str] = []
        while self._left:
            word = self._left.pop()
            if word == "--":
                return self._values, positional + self._left[::-1]
            if word.startswith("--"):
                self._long(word)
            elif word.startswith("-") and word != "-":
                self._short(word)
            else:
                positional.append(word)
                if not self._interspersed:
                    return self._values, positional + self._left[::-1]
        return self._values, positional

    def _long(self, word: str) -> None:
        name, equals, text = word[2:].partition("=")
        if not name or name.startswith("-"):
            raise UsageError(f"bad flag syntax: {word}")
        flag = self._by_name.get(name)
        if flag is None:
            raise UsageError(f"unknown flag: --{name}")
        if equals:
            self._set(flag, text)
        elif flag.kind is BOOL:
            self._values.set(flag, True)
        else:
            self._set(flag, self._next(f"flag needs an argument: --{name}"))

    def _short(self, word: str) -> None:
        letters = word[1:]
        while letters:
            flag = self._by_short.get(letters[0])
            if flag is None:
                raise UsageError(f"unknown shorthand flag: {letters[0]!r} in {word}")
            letters = letters[1:]
            if letters.startswith("="):
                self._set(flag, letters[1:])
                return
            if flag.kind is BOOL:
                self._values.set(flag, True)
                continue
            missing = f"flag needs an argument: {flag.short!r} in {word}"
            self._set(flag, letters or self._next(missing))
            return

    def _next(self, missing: str) -> str:
        if not self._left:
            raise UsageError(missing)
        return self._left.pop()

    def _set(self, flag: Flag, text: str) -> None:
        try:
            self._values.set(flag, flag.kind.parse(text))
        except ValueError as error:
            shown = f"-{flag.short}, --{flag.name}" if flag.short else f"--{flag.name}"
            raise UsageError(f'invalid argument "{text}" for "{shown}" flag: {error}') from error


def parse_bool(text: str) -> bool:
    """Go's strconv.ParseBool."""
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def parse_int(text: str) -> int:
    """Go's strconv.ParseInt with base 0."""
    if not re.fullmatch(r"[+-]?(0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]*|0[bB][01_]+|[1-9][0-9_]*)", text):
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if re.fullmatch(r"[+-]?0[0-7]+", text):
        return int(text, 8)
    value = int(text, 0)
    if not -(2**63) <= value < 2**63:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def parse_unsigned(text: str) -> int:
    """Go's strconv.ParseUint with base 0."""
    if text.startswith(("-", "+")):
        raise ValueError(f'strconv.ParseUint: parsing "{text}": invalid syntax')
    try:
        return parse_int(text)
    except ValueError as error:
        raise ValueError(str(error).replace("ParseInt", "ParseUint")) from None


def _parse_uint16(text: str) -> int:
    value = parse_unsigned(text)
    if value > 0xFFFF:
        raise ValueError(f'strconv.ParseUint: parsing "{text}": value out of range')
    return value


# Patterns stay texts: compiling them at import would cost every command a millisecond.
_SIZE = r"(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?"


def parse_size(text: str) -> int:
    """Return a number of bytes from text with an optional binary unit: `512m` or `1.5GiB`."""
    if text == "-1":
        return -1
    match = re.fullmatch(_SIZE, text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** " kmgtp".index(match[2].lower() or " "))


def parse_nano_cpus(text: str) -> int:
    """Return a decimal number of processors in units of 10^-9."""
    try:
        value = float(text) * 1e9
    except ValueError:
        raise ValueError(f"failed to parse {text} as a rational number") from None
    if value != int(value):
        raise ValueError("value is too precise")
    return int(value)


_DURATION = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)"
_UNIT_NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
            "h": 3600 * 10**9}  # fmt: skip


def parse_duration(text: str) -> int:
    """Go's time.ParseDuration, in nanoseconds."""
    body = text[1:] if text.startswith(("+", "-")) else text
    if body == "0":
        return 0
    matches = list(re.finditer(_DURATION, body))
    if not matches or "".join(match[0] for match in matches) != body:
        raise ValueError(f'time: invalid duration "{text}"')
    total = sum(float(match[1]) * _UNIT_NS[match[2]] for match in matches)
    return int(-total if text.startswith("-") else total)


def _parse_words(text: str) -> list[str]:
    """One occurrence of a `strings` flag: comma separated."""
    return text.split(",") if text else []


def _parse_filter(text: str) -> str:
    if "=" not in text:
        raise ValueError("bad format of filter (expected name=value)")
    return text


BOOL = Kind("", parse_bool)
STRING = Kind("string", str)
INT = Kind("int", parse_int)
UINT = Kind("uint", parse_unsigned)
UINT16 = Kind("uint16", _parse_uint16)
LIST = Kind("list", str, repeats=True)
STRINGS = Kind("strings", _parse_words, repeats=True)
MAP = Kind("map", str, repeats=True)
BYTES = Kind("bytes", parse_size)
DECIMAL = Kind("decimal", parse_nano_cpus)
DURATION = Kind("duration", parse_duration)
ENDPOINT = Kind("stringToString", _parse_words, repeats=True)
FILTER = Kind("filter", _parse_filter, repeats=True)


def boolean(name: str, help_text: str, short: str = "", *, default: bool = False) -> Flag:
    """Return a switch."""
    return Flag(name, BOOL, help_text, short, default, "true" if default else "")


def string(name: str, help_text: str, short: str = "", default: str = "") -> Flag:
    """Return a flag that takes text."""
    return Flag(name, STRING, help_text, short, default, f'"{default}"' if default else "")


def integer(name: str, help_text: str, short: str = "", default: int | None = None) -> Flag:
    """Return a flag that takes a whole number; None says that it was not given."""
    return Flag(name, INT, help_text, short, default, str(default) if default else "")


def listing(name: str, help_text: str, short: str = "", kind: Kind = LIST) -> Flag:
    """Return a flag that may be repeated."""
    return Flag(name, kind, help_text, short)
