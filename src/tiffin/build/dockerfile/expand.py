"""Variable expansion in Dockerfile words, after the POSIX shell with BuildKit's additions.

Understood are quotes, the escape character, and `$x ${x} ${x-w} ${x:-w} ${x+w} ${x:+w} ${x?w}
${x:?w} ${x#p} ${x##p} ${x%p} ${x%%p} ${x/p/r} ${x//p/r}`, nested to any reasonable depth. Patterns
know `*` and `?`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tiffin.build.dockerfile.source import SyntaxProblem

MAXIMUM_DEPTH = 64
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_BLANKS = " \t\n\r\v\f"


def expand(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Return `text` as one word: variables substituted, quotes and escapes removed."""
    return _Expansion(text, variables, escape).words()[0]


def expand_words(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Return `text` split at unquoted blanks, the results of variables included."""
    return _Expansion(text, variables, escape).words()[1]


def split_raw(text: str, escape: str = "\\") -> list[str]:
    """Split at unquoted blanks and leave quotes, escapes and variables as they are written."""
    return _Expansion(text, {}, escape, raw=True).words()[1]


def expand_heredoc(text: str, variables: Mapping[str, str], escape: str = "\\") -> str:
    """Expand the body of an unquoted here-document, in which quotes mean nothing."""
    return _Expansion(text, variables, escape, quotes=False).words()[0]


@dataclass(slots=True)
class _Words:
    """Collects the words of a text while its one-word form is built."""

    done: list[str]
    current: str = ""
    open: bool = False

    def quoted(self, text: str) -> None:
        self.current += text
        self.open = True

    def unquoted(self, text: str) -> None:
        for character in text:
            if character in _BLANKS:
                self.close()
            else:
                self.quoted(character)

    def close(self) -> None:
        if self.open:
            self.done.append(self.current)
        self.current, self.open = "", False


class _Expansion:
    def __init__(
        self, text: str, variables: Mapping[str, str], escape: str, *,
        raw: bool = False, quotes: bool = True,
    ) -> None:  # fmt: skip
        self._text = text
        self._variables = variables
        self._escape = escape
        self._raw = raw
        self._quotes = quotes
        self._at = 0
        self._depth = 0

    def words(self) -> tuple[str, list[str]]:
        words = _Words([])
        whole = self._until("", words)
        words.close()
        return whole, words.done

    def _until(self, stop: str, words: _Words | None = None, *, pattern: bool = False) -> str:
        """Process up to an unquoted character of `stop` (which stays unread) or the end.

        With `pattern`, what quotes and escapes protect stays escaped by a backslash.
        """
        words = words if words is not None else _Words([])
        result: list[str] = []
        while self._at < len(self._text) and self._peek() not in stop:
            piece, is_quoted = self._piece(pattern=pattern)
            result.append(piece)
            (words.quoted if is_quoted else words.unquoted)(piece)
        return "".join(result)

    def _piece(self, *, pattern: bool) -> tuple[str, bool]:
        character = self._next()
        if character == "'" and self._quotes:
            return self._protect(self._single_quoted(), pattern), True
        if character == '"' and self._quotes:
            return self._protect(self._double_quoted(), pattern), True
        if character == self._escape:
            return self._escaped(pattern=pattern), True
        if character == "$" and not self._raw:
            return self._dollar(), False
        return character, False

    def _protect(self, text: str, pattern: bool) -> str:
        return re.sub(r"([*?\\])", r"\\\1", text) if pattern else text

    def _escaped(self, *, pattern: bool) -> str:
        if self._at >= len(self._text):
            return self._escape if self._raw or not self._quotes else ""
        following = self._next()
        if self._raw:
            return self._escape + following
        if not self._quotes and following not in ("$", self._escape):
            return self._escape + following
        return self._protect(following, pattern)

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise SyntaxProblem("unexpected end of statement while looking for matching "
                                "single-quote")  # fmt: skip
        inside = self._text[self._at : end]
        self._at = end + 1
        return f"'{inside}'" if self._raw else inside

    def _double_quoted(self) -> str:
        result: list[str] = []
        while True:
            if self._at >= len(self._text):
                raise SyntaxProblem("unexpected end of statement while looking for matching "
                                    "double-quote")  # fmt: skip
            character = self._next()
            if character == '"':
                break
            if character == self._escape and self._at < len(self._text):
                following = self._next()
                kept = self._raw or following not in ('"', "$", self._escape)
                result.append(self._escape + following if kept else following)
            elif character == "$" and not self._raw:
                result.append(self._dollar())
            else:
                result.append(character)
        inside = "".join(result)
        return f'"{inside}"' if self._raw else inside

    def _dollar(self) -> str:
        if self._peek() != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._next()
        self._depth += 1
        if self._depth > MAXIMUM_DEPTH:
            raise SyntaxProblem("syntax error: substitutions nested too deeply")
        value = self._braced()
        self._depth -= 1
        return value

    def _braced(self) -> str:
        name = self._name()
        if not name:
            raise SyntaxProblem("syntax error: bad substitution" if self._peek()
                                else "syntax error: missing '}'")  # fmt: skip
        operator = self._next()
        if operator == "}":
            return self._variables.get(name, "")
        if operator in ("#", "%", "/"):
            return self._edited(name, operator)
        colon = operator == ":"
        if colon:
            operator = self._next()
        if operator not in ("+", "-", "?"):
            raise SyntaxProblem("syntax error: missing '}'" if not operator else
                                f"unsupported modifier ({operator}) in substitution")  # fmt: skip
        word = self._until("}")
        self._close()
        return self._defaulted(name, operator, word, colon=colon)

    def _defaulted(self, name: str, operator: str, word: str, *, colon: bool) -> str:
        value = self._variables.get(name)
        present = value is not None and not (colon and value == "")
        if operator == "+":
            return word if present else ""
        if present:
            return value or ""
        if operator == "-":
            return word
        default = "is not allowed to be empty" if colon else "is not allowed to be unset"
        raise SyntaxProblem(f"{name}: {word or default}", token=name)

    def _edited(self, name: str, operator: str) -> str:
        twice = self._peek() == operator
        if twice:
            self._next()
        value = self._variables.get(name, "")
        if operator != "/":
            pattern = self._until("}", pattern=True)
            self._close()
            trim = trim_prefix if operator == "#" else trim_suffix
            return trim(value, pattern, longest=twice)
        pattern = self._until("/}", pattern=True)
        replacement = ""
        if self._peek() == "/":
            self._next()
            replacement = self._until("}")
        self._close()
        return replace_matches(value, pattern, replacement, every=twice)

    def _close(self) -> None:
        if self._next() != "}":
            raise SyntaxProblem("syntax error: missing '}'")

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match.group()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += len(character)
        return character


def trim_prefix(value: str, pattern: str, *, longest: bool) -> str:
    """Remove the shortest or longest prefix that matches a shell pattern."""
    lengths = range(len(value) + 1)
    matcher = _pattern(pattern)
    for length in reversed(lengths) if longest else lengths:
        if matcher.fullmatch(value[:length]):
            return value[length:]
    return value


def trim_suffix(value: str, pattern: str, *, longest: bool) -> str:
    """Remove the shortest or longest suffix that matches a shell pattern."""
    starts = range(len(value) + 1)
    matcher = _pattern(pattern)
    for start in starts if longest else reversed(starts):
        if matcher.fullmatch(value[start:]):
            return value[:start]
    return value


def replace_matches(value: str, pattern: str, replacement: str, *, every: bool) -> str:
    """Replace the first match, or every one, of a shell pattern; an empty pattern matches none."""
    if not pattern:
        return value
    return _pattern(pattern).sub(lambda _match: replacement, value, count=0 if every else 1)


def _pattern(text: str) -> re.Pattern[str]:
    translated: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "*":
            # Adjacent stars would only make the match slow.
            if not translated or translated[-1] != ".*":
                translated.append(".*")
        elif character == "?":
            translated.append(".")
        elif character == "\\":
            translated.append(re.escape(next(characters, "\\")))
        else:
            translated.append(re.escape(character))
    return re.compile("".join(translated), re.DOTALL)
