"""Where in a Dockerfile something stands, and the error that points there."""

from dataclasses import dataclass

from tiffin.errors import InvalidArgument

CONTEXT_LINES = 2
"""Lines shown before and after the ones at fault."""


@dataclass(frozen=True, slots=True)
class Span:
    """Physical lines `first` to `last`, counted from 1, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a Dockerfile by lines, with the name that messages use for it."""

    name: str
    lines: tuple[str, ...]

    def excerpt(self, span: Span, token: str = "") -> str:
        """Draw the lines around `span`, marking those inside and underlining `token`."""
        rule = "-" * 20
        drawn = [f"{self.name}:{span.first}", rule]
        first = max(1, span.first - CONTEXT_LINES)
        last = min(len(self.lines), span.last + CONTEXT_LINES)
        underlined = False
        for number in range(first, last + 1):
            text = self.lines[number - 1]
            inside = span.first <= number <= span.last
            drawn.append(f"{number:4} | {'>>>' if inside else '   '} {text}".rstrip())
            column = text.find(token) if token and inside and not underlined else -1
            if column >= 0:
                underlined = True
                drawn.append(f"{'':4} |     {'':{column}}{'^' * len(token)}")
        drawn.append(rule)
        return "\n".join(drawn)


class DockerfileError(InvalidArgument):
    """A Dockerfile that cannot be understood. `reason` is the bare cause without its place."""

    def __init__(self, reason: str, source: Source, span: Span, *, token: str = "") -> None:
        self.reason = reason
        self.source = source
        self.span = span
        headline = f"dockerfile parse error on line {span.first}: {reason}"
        excerpt = f"\n{source.excerpt(span, token)}" if source.lines else ""
        super().__init__(headline + excerpt)


class SyntaxProblem(InvalidArgument):
    """A cause found by code that does not know the place; `token` is the text at fault."""

    def __init__(self, reason: str, *, token: str = "") -> None:
        super().__init__(reason)
        self.token = token
