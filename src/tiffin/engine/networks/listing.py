"""Which networks a filter means."""

from collections.abc import Callable

from tiffin.api.filters import Filters
from tiffin.engine.networks.context import PREDEFINED
from tiffin.engine.networks.moments import moment
from tiffin.engine.networks.registry import Registry
from tiffin.errors import InvalidArgument
from tiffin.state.networks import NetworkRecord

LIST_FILTERS = frozenset({"dangling", "driver", "id", "label", "label!", "name", "scope", "type"})
PRUNE_FILTERS = frozenset({"label", "label!", "until"})
TYPES = frozenset({"builtin", "custom"})
SCOPES = frozenset({"local", "global", "swarm"})


def select(registry: Registry, filters: Filters) -> list[NetworkRecord]:
    """Return the networks that pass; InvalidArgument for filters that make no sense."""
    filters.validate(LIST_FILTERS)
    for kind in filters.get("type"):
        if kind not in TYPES:
            raise InvalidArgument(f"invalid filter: 'type'='{kind}'")
    dangling = filters.boolean("dangling") if "dangling" in filters else None
    return [
        network
        for network in registry.networks()
        if _passes(network, filters)
        and (dangling is None or dangling == _is_dangling(registry, network))
    ]


def prunable(filters: Filters, until_ns: int | None) -> Callable[[NetworkRecord], bool]:
    """Return which networks a prune means; `until_ns` is Unix time."""
    filters.validate(PRUNE_FILTERS)

    def accepts(network: NetworkRecord) -> bool:
        return filters.matches_labels(network.labels) and (
            until_ns is None or network.created < moment(until_ns)
        )

    return accepts


def _passes(network: NetworkRecord, filters: Filters) -> bool:
    kind = "builtin" if network.name in PREDEFINED else "custom"
    return (
        filters.exact("driver", network.driver)
        and _contains(filters.get("id"), network.id)
        and _contains(filters.get("name"), network.name)
        and filters.exact("scope", "local")
        and filters.exact("type", kind)
        and filters.matches_labels(network.labels)
    )


def _contains(wanted: list[str], text: str) -> bool:
    return not wanted or any(part in text for part in wanted)


def _is_dangling(registry: Registry, network: NetworkRecord) -> bool:
    return network.name not in PREDEFINED and not registry.endpoints_on(network.id)
