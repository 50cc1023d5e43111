"""`.dockerignore`: which paths of a build context are left out.

One pattern per line, `#` comments, blank lines ignored; `!` takes paths back in, the last pattern
that matches decides. A pattern also covers all that is below a directory it matches.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tiffin.errors import InvalidArgument
from tiffin.spec.patterns import compile_pattern


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern; `keeps` for `!`."""

    pattern: str
    keeps: bool
    matcher: re.Pattern[str]


class Ignore:
    """The rules of one file. Paths are relative, with `/`, without a leading one."""

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = tuple(rules)
        self.has_exceptions = any(rule.keeps for rule in rules)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def excludes(self, path: str) -> bool:
        """Tell whether `path` is left out."""
        excluded = False
        for rule in self._rules:
            if rule.keeps == excluded and _covers(rule.matcher, path):
                excluded = not rule.keeps
        return excluded

    def may_keep_below(self, directory: str) -> bool:
        """Tell whether something below an excluded `directory` could be taken back in."""
        return any(rule.keeps and _may_reach(rule.pattern, directory) for rule in self._rules)


def parse_ignore(text: str) -> Ignore:
    """Parse a `.dockerignore`; InvalidArgument for a malformed pattern."""
    rules: list[Rule] = []
    for line in text.removeprefix("\ufeff").splitlines():
        if line.startswith("#"):
            continue
        pattern = line.strip()
        if not pattern:
            continue
        keeps = pattern.startswith("!")
        if keeps:
            pattern = pattern[1:].strip()
            if not pattern:
                raise InvalidArgument('illegal exclusion pattern: "!"')
        pattern = posixpath.normpath(pattern).lstrip("/")
        if pattern in ("", ".") and not keeps:
            continue
        rules.append(Rule(pattern, keeps, compile_pattern(pattern, stars=True)))
    return Ignore(rules)


def from_patterns(patterns: Sequence[str]) -> Ignore:
    """Return the rules of `--exclude` patterns."""
    return parse_ignore("\n".join(patterns))


def _covers(matcher: re.Pattern[str], path: str) -> bool:
    """Tell whether the path or one of its parents matches."""
    if matcher.fullmatch(path):
        return True
    at = path.find("/")
    while at > 0:
        if matcher.fullmatch(path, 0, at):
            return True
        at = path.find("/", at + 1)
    return False


def _may_reach(pattern: str, directory: str) -> bool:
    """Tell whether `pattern` could match something below `directory`."""
    wanted = directory.split("/")
    for depth, part in enumerate(pattern.split("/")):
        if part == "**" or depth >= len(wanted):
            return True
        if not compile_pattern(part, stars=True).fullmatch(wanted[depth]):
            return False
    return True
