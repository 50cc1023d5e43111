"""Scopes of the token protocol: `repository:team/app:pull,push`, several apart by spaces."""

import re
from collections.abc import Iterable

from tiffin.distribution.access.gate import Action, Need

_SCOPE = re.compile(r"([a-z0-9-]+)(?:\([a-z0-9]+\))?:(.+):([A-Za-z*,-]*)")
_LIMIT = 100


def parse_scopes(texts: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Return pairs of repository and action; what is no scope of a repository is passed over."""
    found: set[tuple[str, str]] = set()
    for text in [part for line in texts for part in line.split()][:_LIMIT]:
        match = _SCOPE.fullmatch(text)
        if match and match[1] == "repository":
            found.update((match[2], action) for action in match[3].split(",") if action)
    return frozenset(found)


def format_scopes(needs: Iterable[Need]) -> str:
    """Return the scope of a challenge."""
    by_name: dict[str, list[Action]] = {}
    for need in needs:
        by_name.setdefault(need.repository, []).append(need.action)
    return " ".join(
        f"repository:{name}:{','.join(action for action in Action if action in actions)}"
        for name, actions in by_name.items()
    )
