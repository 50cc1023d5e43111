"""`--filter key=value` as the API wants it."""

from collections.abc import Sequence

from tiffin.cli.flags import UsageError


def parse_filters(texts: Sequence[str]) -> dict[str, dict[str, bool]]:
    """Return `{key: {value: true}}`; UsageError."""
    filters: dict[str, dict[str, bool]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                f'invalid argument "{text}" for "-f, --filter" flag: '
                "bad format of filter (expected name=value)"
            )
        filters.setdefault(key.strip().lower(), {})[value.strip()] = True
    return filters
