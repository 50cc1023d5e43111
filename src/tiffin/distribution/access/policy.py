"""Rights by user and repository.

A rule gives actions on repositories to users; what no rule gives is not allowed. Patterns of
repositories: `*` is any part of one component, `**` any number of components, `{user}` the user's name.
Users: names, `*` for everybody who is known, `anonymous` for those who are not.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tiffin.distribution.access.gate import Action
from tiffin.errors import InvalidArgument

ANONYMOUS = "anonymous"
_EVERYBODY = "*"
_WORD = re.compile(r"\*\*|\*|\{user\}|[^*{]+|\{")


@dataclass(frozen=True, slots=True)
class Rule:
    """`users` may do `actions` to `repositories`."""

    users: tuple[str, ...]
    repositories: tuple[str, ...]
    actions: frozenset[Action]

    def gives(self, user: str, repository: str, action: Action) -> bool:
        """Tell whether this rule allows that; `user` is "" for anonymous."""
        named = user in self.users or _EVERYBODY in self.users if user else ANONYMOUS in self.users
        return (
            named
            and action in self.actions
            and any(_matches(pattern, user, repository) for pattern in self.repositories)
        )


class Policy:
    """A list of rules."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules

    def may(self, user: str, repository: str, action: Action) -> bool:
        """Tell whether any rule allows that."""
        return any(rule.gives(user, repository, action) for rule in self._rules)

    @property
    def has_anonymous(self) -> bool:
        """Whether those who are not known may do anything at all."""
        return any(ANONYMOUS in rule.users for rule in self._rules)


EVERYTHING_FOR_USERS = Policy([Rule((_EVERYBODY,), ("**",), frozenset(Action))])


def parse_rule(users: Iterable[str], repositories: Iterable[str], actions: Iterable[str]) -> Rule:
    """Make a rule of the configuration's words; InvalidArgument."""
    known = {action.value for action in Action}
    wanted = known if "*" in (actions := list(actions)) else set(actions)
    if unknown := wanted - known:
        raise InvalidArgument(f"unknown right {min(unknown)!r}: pull, push, delete or *")
    if ANONYMOUS in (users := tuple(users)) and len(users) > 1 and "push" in wanted:
        raise InvalidArgument("a right to push for anonymous needs a rule of its own")
    return Rule(users, tuple(repositories), frozenset(Action(action) for action in wanted))


def _matches(pattern: str, user: str, repository: str) -> bool:
    # An empty name must not make `{user}/**` match `/…`; anonymous has no place of its own.
    if "{user}" in pattern and not user:
        return False
    return _compiled(pattern, user).fullmatch(repository) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str, user: str) -> re.Pattern[str]:
    expressions = {"**": ".*", "*": "[^/]*", "{user}": re.escape(user)}
    words: list[str] = _WORD.findall(pattern)
    return re.compile("".join(expressions.get(word, re.escape(word)) for word in words))
