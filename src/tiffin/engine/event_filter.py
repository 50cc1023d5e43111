"""Which events a client asked for, by Docker's rules for each key."""

from tiffin.api.filters import Filters
from tiffin.engine.events import Event

ALLOWED = frozenset(
    {"config", "container", "daemon", "event", "image", "label", "network", "node", "plugin"}
    | {"scope", "secret", "service", "type", "volume"}
)
_BY_NAME = ("config", "container", "daemon", "network", "node", "plugin", "secret", "service",
            "volume")  # fmt: skip
_WITH_DETAIL = frozenset({"exec_create", "exec_start", "health_status"})
"""Actions that go on after a colon; asking for the part before it means all of them."""


def accepts(event: Event, filters: Filters) -> bool:
    """Tell if every key that was given lets the event pass."""
    if not filters:
        return True
    return (
        _action(event, filters)
        and filters.exact("type", event.kind)
        and filters.exact("scope", event.scope)
        and filters.matches_labels(event.attributes)
        and _image(event, filters)
        and all(_named(event, filters, key) for key in _BY_NAME if key in filters)
    )


def _action(event: Event, filters: Filters) -> bool:
    if _WITH_DETAIL & set(filters.get("event")):
        return filters.fuzzy("event", event.action)
    return filters.exact("event", event.action)


def _named(event: Event, filters: Filters, key: str) -> bool:
    return filters.fuzzy(key, event.actor) or filters.fuzzy(key, event.attributes.get("name", ""))


def _image(event: Event, filters: Filters) -> bool:
    if "image" not in filters:
        return True
    name = event.attributes.get("name" if event.kind == "image" else "image", "")
    candidates = (event.actor, name, _without_tag(event.actor), _without_tag(name))
    return any(filters.exact("image", candidate) for candidate in candidates)


def _without_tag(reference: str) -> str:
    name = reference.partition("@")[0]
    head, separator, tail = name.rpartition(":")
    return head if separator and "/" not in tail else name
