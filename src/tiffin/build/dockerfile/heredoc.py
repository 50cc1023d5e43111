"""Here-documents: `<<EOF`, `<<-EOF`, `<<"EOF"` in RUN, COPY and ADD."""

import re
from dataclasses import dataclass, replace

from tiffin.build.dockerfile.expand import expand_words, split_raw
from tiffin.build.dockerfile.source import SyntaxProblem

_REDIRECTION = re.compile(r"(\d*)<<(-?)([^<]+)")


@dataclass(frozen=True, slots=True)
class Heredoc:
    """One here-document. `content` is as written; use `body` for what it means."""

    name: str
    expands: bool
    """The delimiter was not quoted, so that variables in the body count."""
    strips_tabs: bool
    content: str = ""

    @property
    def body(self) -> str:
        """The content, without leading tabs if `<<-` asked for it."""
        return re.sub(r"(?m)^\t+", "", self.content) if self.strips_tabs else self.content

    def with_content(self, content: str) -> "Heredoc":
        """Return the same here-document with its body read."""
        return replace(self, content=content)

    def ends_at(self, line: str) -> bool:
        """Tell whether `line` is the delimiter."""
        return (line.lstrip("\t") if self.strips_tabs else line) == self.name


def parse_redirection(word: str) -> Heredoc | None:
    """Return the here-document that a raw word announces, or None if it is an ordinary word."""
    match = _REDIRECTION.fullmatch(word)
    if match is None or match[1] not in ("", "0"):
        return None
    try:
        names = expand_words(match[3], {})
    except SyntaxProblem:
        return None
    if len(names) != 1:
        return None
    return Heredoc(names[0], expands=names[0] == match[3], strips_tabs=bool(match[2]))


def announced(text: str) -> list[Heredoc]:
    """Return the here-documents that a logical line announces, in order."""
    if "<<" not in text:
        return []
    try:
        words = split_raw(text)
    except SyntaxProblem:
        return []  # unbalanced quotes: the shell will complain about it, or accept it
    return [heredoc for word in words if (heredoc := parse_redirection(word))]
