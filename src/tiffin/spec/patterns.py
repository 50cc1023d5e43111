"""Path patterns with the rules of Go's `filepath.Match`, and Docker's `**` on top.

`*` matches any run of characters but `/`, `?` one character but `/`, `[a-z]` and `[^a-z]` a class,
a backslash takes the next character literally. With `stars`, `**` crosses directories.
"""

import functools
import re

from tiffin.errors import InvalidArgument

_MAGIC = re.compile(r"[*?\[\\]")


def has_magic(pattern: str) -> bool:
    """Tell whether `pattern` is more than a plain path."""
    return _MAGIC.search(pattern) is not None


def matches(pattern: str, path: str) -> bool:
    """Tell whether the whole of `path` matches; InvalidArgument `syntax error in pattern`."""
    return compile_pattern(pattern).fullmatch(path) is not None


@functools.lru_cache(maxsize=1024)
def compile_pattern(pattern: str, *, stars: bool = False) -> re.Pattern[str]:
    """Translate a pattern; InvalidArgument `syntax error in pattern`."""
    translated: list[str] = []
    at = 0
    while at < len(pattern):
        piece, at = _piece(pattern, at, stars=stars)
        translated.append(piece)
    return re.compile("".join(translated), re.DOTALL)


def _piece(pattern: str, at: int, *, stars: bool) -> tuple[str, int]:
    character = pattern[at]
    if character == "*":
        end = at
        while end < len(pattern) and pattern[end] == "*":
            end += 1
        if not stars or end - at < 2:
            return "[^/]*", end
        if end >= len(pattern):
            return ".*", end
        return "(?:.*/)?", end + pattern.startswith("/", end)
    if character == "?":
        return "[^/]", at + 1
    if character == "[":
        return _character_class(pattern, at)
    if character == "\\":
        if at + 1 >= len(pattern):
            raise _syntax_error(pattern)
        return re.escape(pattern[at + 1]), at + 2
    return re.escape(character), at + 1


def _character_class(pattern: str, at: int) -> tuple[str, int]:
    at += 1
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[str] = []
    while not (ranges and pattern.startswith("]", at)):
        low, at = _class_member(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _class_member(pattern, at + 1)
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")
    inside = "".join(ranges)
    if not inside:
        return ("[^/]" if negated else "(?!)"), at + 1
    return f"(?!/)[{'^' if negated else ''}{inside}]", at + 1


def _class_member(pattern: str, at: int) -> tuple[str, int]:
    if pattern.startswith("\\", at):
        at += 1
    elif pattern[at : at + 1] in ("]", "-"):
        raise _syntax_error(pattern)
    if at >= len(pattern):
        raise _syntax_error(pattern)
    return pattern[at], at + 1


def _syntax_error(pattern: str) -> InvalidArgument:
    return InvalidArgument(f"syntax error in pattern: {pattern!r}")
