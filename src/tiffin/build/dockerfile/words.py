"""How instructions cut their arguments: JSON arrays, `name=value` words, flags, durations."""

import json
import re
from collections.abc import Iterable, Mapping

from tiffin.build.dockerfile.instructions import Command, Pairs
from tiffin.build.dockerfile.source import SyntaxProblem

_BLANKS = " \t\v\f\r"
_DURATION_UNITS_NS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000,
    "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip


def json_strings(rest: str) -> tuple[str, ...] | None:
    """Return a JSON array of strings, None if `rest` is no JSON array."""
    text = rest.strip(_BLANKS + "\n")
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in found):
        raise SyntaxProblem(
            "when using JSON array syntax, arrays must be comprised of strings only"
        )
    return tuple(found)


def command(rest: str) -> Command:
    """Return exec form if `rest` is a JSON array of strings, shell form otherwise."""
    arguments = json_strings(rest)
    if arguments is not None:
        return Command(arguments=arguments, is_shell=False)
    return Command(line=rest.strip(_BLANKS))


def strings(rest: str) -> tuple[str, ...]:
    """Return the JSON array, or the words between blanks."""
    found = json_strings(rest)
    return found if found is not None else tuple(rest.split())


def quoted_words(rest: str, escape: str) -> list[str]:
    """Split at blanks outside quotes; quotes and escapes stay."""
    words: list[str] = []
    current = ""
    quote = ""
    characters = iter(rest)
    for character in characters:
        if character == escape and quote != "'":
            current += character + next(characters, "")
        elif quote:
            current += character
            quote = "" if character == quote else quote
        elif character in _BLANKS:
            words.append(current)
            current = ""
        else:
            current += character
            quote = character if character in "'\"" else ""
    return [word for word in [*words, current] if word]


def pairs(rest: str, escape: str, keyword: str) -> Pairs:
    """Parse `name=value …` or the legacy `name value`, where the value is the whole rest."""
    words = quoted_words(rest, escape)
    if not words:
        raise SyntaxProblem(f"{keyword} requires at least one argument")
    if "=" not in words[0]:
        parts = rest.strip(_BLANKS).split(None, 1)
        if len(parts) < 2:
            raise SyntaxProblem(f"{keyword} must have two arguments")
        return ((parts[0], parts[1].strip(_BLANKS)),)
    found: list[tuple[str, str]] = []
    for word in words:
        name, separator, value = word.partition("=")
        if not separator:
            raise SyntaxProblem(
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value',
                token=word,
            )
        if not name:
            raise SyntaxProblem(f"{keyword} names can not be blank", token=word)
        found.append((name, value))
    return tuple(found)


def duration_ns(text: str) -> int:
    """Parse a Go duration such as `1m30s`; SyntaxProblem with Go's wording."""
    match = re.fullmatch(r"([+-]?)((?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0)", text)
    if match is None:
        missing = re.fullmatch(r"[+-]?[\d.]+", text)
        problem = "missing unit in duration" if missing else "invalid duration"
        raise SyntaxProblem(f'time: {problem} "{text}"', token=text)
    parts = re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", match[2])
    total = sum(round(float(number) * _DURATION_UNITS_NS[unit]) for number, unit in parts)
    return -total if match[1] == "-" else total


class Flags:
    """The `--name=value` words of one statement, against what the instruction allows."""

    def __init__(
        self, words: Iterable[str], *, strings: Iterable[str] = (), booleans: Iterable[str] = (),
        repeated: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self._booleans = frozenset(booleans)
        self._repeated = frozenset(repeated)
        self._allowed = frozenset(strings) | self._booleans | self._repeated
        self._values: dict[str, list[str]] = {}
        for word in words:
            self._add(word)

    def _add(self, word: str) -> None:
        name, separator, value = word.removeprefix("--").partition("=")
        if name not in self._allowed:
            near = closest(name, self._allowed)
            suggestion = f" (did you mean {near}?)" if near else ""
            raise SyntaxProblem(f"unknown flag: --{name}{suggestion}", token=f"--{name}")
        if name in self._values and name not in self._repeated:
            raise SyntaxProblem(f"duplicate flag specified: --{name}", token=word)
        if name in self._booleans:
            value = value.lower() if separator else "true"
            if value not in ("true", "false"):
                raise SyntaxProblem(f"expecting boolean value for flag {name}, not: {value}",
                                    token=word)  # fmt: skip
        elif not separator:
            raise SyntaxProblem(f"missing a value on flag: --{name}", token=word)
        self._values.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """Return a flag's value."""
        return self._values.get(name, [default])[0]

    def boolean(self, name: str) -> bool | None:
        """Return a switch, None if it was not given."""
        return {"true": True, "false": False}.get(self.text(name))

    def every(self, name: str) -> tuple[str, ...]:
        """Return all values of a flag that may be repeated."""
        return tuple(self._values.get(name, ()))


def comma_fields(text: str) -> tuple[tuple[str, str | None], ...]:
    """Parse `a=b,c` as CSV fields; a field without `=` has the value None."""
    found: list[tuple[str, str | None]] = []
    for quoted, plain in re.findall(r'"((?:[^"]|"")*)"(?:,|$)|([^,]*)(?:,|$)', text):
        field = quoted.replace('""', '"') or plain
        if field:
            name, separator, value = field.partition("=")
            found.append((name.strip().lower(), value if separator else None))
    return tuple(found)


def closest(word: str, candidates: Iterable[str]) -> str:
    """Return the candidate that `word` is likely a misspelling of, or "" ."""
    ranked: Mapping[str, int] = {
        candidate: _distance(word.lower(), candidate.lower()) for candidate in sorted(candidates)
    }
    best = min(ranked, key=ranked.__getitem__, default="")
    return best if best and ranked[best] <= (1 if len(word) < 4 else 2) else ""


def _distance(left: str, right: str) -> int:
    """Return the Levenshtein distance, with a floor that spares work on hopeless pairs."""
    if abs(len(left) - len(right)) > 3:
        return 99
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1]
