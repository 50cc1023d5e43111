"""The daemon's command line, by the rules of Docker's own flags.

`--flag value`, `--flag=value`, `-Dl debug`; a boolean takes its value only by `=`.
"""

from collections.abc import Sequence
from typing import Any

from tiffin.daemon.options import (
    BOOL,
    BY_FLAG,
    BY_SHORT,
    DRIVER_OPTIONS,
    INTEGER,
    MAP,
    OPTIONS,
    POOLS,
    REPEATED,
    RUNTIMES,
    ULIMITS,
    Option,
)
from tiffin.errors import InvalidArgument

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def parse(arguments: Sequence[str]) -> dict[str, Any]:
    """Return values by flag name, as daemon.json would have them; InvalidArgument."""
    values: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and len(word) > 2:
            _long(word[2:], rest, values)
        elif word.startswith("-") and len(word) > 1:
            _short(word[1:], rest, values)
        else:
            raise InvalidArgument('"tiffind" accepts no arguments')
    return values


def usage() -> str:
    """Return the help text."""
    lines = ["", "Usage:  tiffind [OPTIONS]", "", "A container engine.", "", "Options:"]
    shown = [option for option in OPTIONS if option.flag and not option.ignored]
    for option in sorted(shown, key=lambda option: option.flag):
        short = f"-{option.short}, " if option.short else "    "
        kind = "" if option.kind == BOOL else f" {option.kind}"
        lines.append(f"  {short}--{option.flag + kind:<34} {option.help}")
    return "\n".join(lines)


def _long(word: str, rest: list[str], values: dict[str, Any]) -> None:
    name, separator, value = word.partition("=")
    option = BY_FLAG.get(name)
    if option is None:
        raise InvalidArgument(f"unknown flag: --{name}")
    if not separator:
        if option.kind == BOOL:
            value = "true"
        elif rest:
            value = rest.pop(0)
        else:
            raise InvalidArgument(f"flag needs an argument: --{name}")
    _store(option, value, values)


def _short(letters: str, rest: list[str], values: dict[str, Any]) -> None:
    cluster = letters
    while letters:
        letter, letters = letters[0], letters[1:]
        option = BY_SHORT.get(letter)
        if option is None:
            raise InvalidArgument(f"unknown shorthand flag: '{letter}' in -{cluster}")
        if option.kind == BOOL and not letters.startswith("="):
            _store(option, "true", values)
            continue
        value = letters.removeprefix("=")
        if not letters:
            if not rest:
                raise InvalidArgument(f"flag needs an argument: '{letter}' in -{cluster}")
            value = rest.pop(0)
        _store(option, value, values)
        return


def _store(option: Option, text: str, values: dict[str, Any]) -> None:
    try:
        value = _value(option, text)
    except ValueError as error:
        raise InvalidArgument(
            f'invalid argument "{text}" for "--{option.flag}" flag: {error}'
        ) from error
    if option.kind not in REPEATED:
        values[option.flag] = value
    elif isinstance(value, dict):
        known = values.setdefault(option.flag, {})
        if option.kind == RUNTIMES and known.keys() & value.keys():
            raise InvalidArgument(
                f'invalid argument "{text}" for "--{option.flag}" flag: '
                f"runtime '{next(iter(value))}' was already defined"
            )
        if option.kind == DRIVER_OPTIONS:
            value = {name: known.get(name, {}) | given for name, given in value.items()}
        known.update(value)
    else:
        values.setdefault(option.flag, []).extend(value)


def _value(option: Option, text: str) -> Any:  # noqa: ANN401  # values of JSON
    if option.kind == BOOL:
        if text not in _TRUE | _FALSE:
            raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
        return text in _TRUE
    if option.kind == INTEGER:
        try:
            return int(text)
        except ValueError as error:
            raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error
    if option.kind == MAP:
        name, _, value = text.partition("=")
        return {name: value}
    if option.kind == DRIVER_OPTIONS:
        return _driver_option(text)
    if option.kind == POOLS:
        return [_pool(text)]
    if option.kind == ULIMITS:
        return _ulimit(text)
    if option.kind == RUNTIMES:
        name, _, path = (part.strip() for part in text.partition("="))
        if not name or not path:
            raise ValueError(f"invalid runtime argument: {text}")
        return {name.lower(): {"path": path}}
    return [text] if option.kind in REPEATED else text


def _driver_option(text: str) -> dict[str, dict[str, str]]:
    driver, separator, option = text.partition("=")
    name, equals, value = option.partition("=")
    if not separator or not equals:
        raise ValueError(f"invalid value {text!r}: expected <driver>=<key>=<value>")
    return {driver: {name: value}}


def _pool(text: str) -> dict[str, Any]:
    pool: dict[str, Any] = {}
    for part in text.split(","):
        name, separator, value = part.partition("=")
        if not separator:
            raise ValueError(f"invalid field '{part}' must be a key=value pair")
        if name == "base":
            pool["base"] = value
        elif name == "size" and value.isdecimal():
            pool["size"] = int(value)
        else:
            raise ValueError(f"unexpected key '{name}' in '{part}'")
    return pool


def _ulimit(text: str) -> dict[str, Any]:
    name, separator, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    if not separator or not name:
        raise ValueError(f"invalid ulimit argument: {text}")
    return {name: {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}}
