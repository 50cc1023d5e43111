"""`--filter key=value` as the API wants it."""

from collections.abc import Sequence


def parse_filters(texts: Sequence[str]) -> dict[str, dict[str, bool]]:
    """Return `{key: {value: true}}` of the texts of a `filter` flag."""
    filters: dict[str, dict[str, bool]] = {}
    for text in texts:
        key, _, value = text.partition("=")
        filters.setdefault(key.strip().lower(), {})[value.strip()] = True
    return filters
