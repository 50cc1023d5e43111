r"""From text to statements: parser directives, continuations, comments, here-documents, flags.

A *statement* is one logical line. A line that ends in the escape character goes on in the next one;
comments and blank lines in between are dropped. Directives (`# escape=`) count only at the top.
"""

import re
from dataclasses import dataclass

from tiffin.build.dockerfile.heredoc import Heredoc, announced
from tiffin.build.dockerfile.source import DockerfileError, Source, Span

_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*")
_KNOWN_DIRECTIVES = ("syntax", "escape", "check")
_BLANKS = " \t\v\f\r"
_TAKES_HEREDOC = re.compile(r"(?:ONBUILD\s+)*(?:RUN|COPY|ADD)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Directives:
    """What the head of the file set."""

    syntax: str = ""
    escape: str = "\\"
    check: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """One logical line, cut into keyword (upper case), leading `--flags` and the rest."""

    span: Span
    keyword: str
    flags: tuple[str, ...]
    rest: str
    text: str
    """The whole logical line, continuations joined."""
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True)
class Tokens:
    """A lexed file."""

    source: Source
    directives: Directives
    statements: tuple[Statement, ...]
    warnings: tuple[str, ...] = ()


def lex(text: str, name: str = "Dockerfile") -> Tokens:
    """Cut a Dockerfile into statements; DockerfileError."""
    lines = tuple(re.split(r"\r?\n", text.removeprefix("\ufeff")))
    source = Source(name, lines[:-1] if lines[-1] == "" else lines)
    return _Lexer(source).run()


def statement(text: str, span: Span, escape: str, heredocs: tuple[Heredoc, ...] = ()) -> Statement:
    """Cut one logical line; also used for what follows ONBUILD."""
    keyword, _, rest = _partition(text.strip(_BLANKS))
    flags, rest = _split_flags(rest, escape)
    return Statement(span, keyword.upper(), flags, rest, text.strip(_BLANKS), heredocs)


class _Lexer:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0
        self._blank_continuation = False

    def run(self) -> Tokens:
        directives = self._directives()
        self._escape = directives.escape
        self._continued = re.compile(rf"(.*?)(?<!{re.escape(self._escape)})"
                                     rf"{re.escape(self._escape)}[ \t]*", re.DOTALL)  # fmt: skip
        statements: list[Statement] = []
        while (found := self._statement()) is not None:
            statements.append(found)
        warnings = ("[WARNING]: Empty continuation line found in Dockerfile",)
        return Tokens(self._source, directives, tuple(statements),
                      warnings if self._blank_continuation else ())  # fmt: skip

    def _directives(self) -> Directives:
        found: dict[str, str] = {}
        lines = self._source.lines
        first = 1 if lines and lines[0].startswith("#!") else 0
        for number, line in enumerate(lines[first:], first + 1):
            match = _DIRECTIVE.fullmatch(line.strip())
            key = match[1].lower() if match else ""
            if match is None or key not in _KNOWN_DIRECTIVES:
                break
            if key in found:
                raise DockerfileError(f"only one {key} parser directive can be used",
                                      self._source, Span(number, number))  # fmt: skip
            if key == "escape" and match[2] not in ("\\", "`"):
                raise DockerfileError(f"invalid ESCAPE '{match[2]}'. Must be ` or \\",
                                      self._source, Span(number, number), token=match[2])  # fmt: skip
            found[key] = match[2]
        return Directives(**found)

    def _statement(self) -> Statement | None:
        lines = self._source.lines
        while self._at < len(lines) and _is_blank_or_comment(lines[self._at]):
            self._at += 1
        if self._at >= len(lines):
            return None
        first = self._at + 1
        text = self._logical_line()
        if not text.strip(_BLANKS):
            return self._statement()
        last = self._at
        takes_heredoc = _TAKES_HEREDOC.match(text.lstrip(_BLANKS))
        bodies = self._heredocs(text, first) if takes_heredoc else ()
        last = max(last, self._at)
        return statement(text, Span(first, last), self._escape, bodies)

    def _logical_line(self) -> str:
        text, more = self._cut(self._source.lines[self._at].lstrip(_BLANKS))
        self._at += 1
        while more and self._at < len(self._source.lines):
            line = self._source.lines[self._at]
            self._at += 1
            if not line.strip(_BLANKS):
                self._blank_continuation = True
            elif not line.lstrip(_BLANKS).startswith("#"):
                part, more = self._cut(line)
                text += part
        return text

    def _cut(self, line: str) -> tuple[str, bool]:
        """Return the line without a continuation mark, and whether it had one."""
        match = self._continued.fullmatch(line)
        return (match[1], True) if match else (line, False)

    def _heredocs(self, text: str, first: int) -> tuple[Heredoc, ...]:
        keyword, _, rest = _partition(text.strip(_BLANKS))
        while keyword.upper() == "ONBUILD":
            keyword, _, rest = _partition(rest)
        if _split_flags(rest, self._escape)[1].startswith("["):
            return ()
        return tuple(self._body(heredoc, first) for heredoc in announced(text))

    def _body(self, heredoc: Heredoc, first: int) -> Heredoc:
        content: list[str] = []
        while self._at < len(self._source.lines):
            line = self._source.lines[self._at]
            self._at += 1
            if heredoc.ends_at(line):
                return heredoc.with_content("".join(content))
            content.append(line + "\n")
        raise DockerfileError("unterminated heredoc", self._source,
                              Span(first, len(self._source.lines)), token=heredoc.name)  # fmt: skip


def _is_blank_or_comment(line: str) -> bool:
    stripped = line.strip(_BLANKS)
    return not stripped or stripped.startswith("#")


def _partition(text: str) -> tuple[str, str, str]:
    match = re.match(rf"([^{_BLANKS}]*)([{_BLANKS}]*)(.*)", text, re.DOTALL)
    assert match is not None  # every part may be empty
    return match[1], match[2], match[3]


def _split_flags(rest: str, escape: str) -> tuple[tuple[str, ...], str]:
    """Take leading `--flag` words off; `--` alone ends them. Quotes and escapes are resolved."""
    flags: list[str] = []
    at = 0
    while rest.startswith("--", at):
        word, end = _flag_word(rest, at, escape)
        at = end
        while at < len(rest) and rest[at] in _BLANKS:
            at += 1
        if word == "--":
            break
        flags.append(word)
    return tuple(flags), rest[at:]


def _flag_word(rest: str, at: int, escape: str) -> tuple[str, int]:
    word: list[str] = []
    quote = ""
    while at < len(rest):
        character = rest[at]
        if not quote and character in _BLANKS:
            break
        at += 1
        if character == escape and at < len(rest):
            word.append(rest[at])
            at += 1
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            word.append(character)
    return "".join(word), at
