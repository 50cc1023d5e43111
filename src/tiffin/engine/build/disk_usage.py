"""The build cache as `system df` shows it, and its pruning."""

import re
import time
from collections.abc import Sequence

from tiffin.api.filters import Filters
from tiffin.api.types.build import BuildCacheRecord, PruneReport
from tiffin.build.cache import BuildCache, Record
from tiffin.build.cache_mounts import CacheMounts
from tiffin.build.dockerfile.source import SyntaxProblem
from tiffin.build.dockerfile.words import duration_ns
from tiffin.engine.build.request import PruneRequest
from tiffin.errors import InvalidArgument
from tiffin.images.store import ImageStore
from tiffin.spec.digest import hex_of
from tiffin.spec.times import format_time, parse_time

ID_LENGTH = 25
ALLOWED = frozenset(
    ("until", "unused-for", "id", "parent", "type", "description", "inuse", "shared", "private")
)


def record_id(record: Record) -> str:
    """Return the short name that a record is listed by."""
    return hex_of(record.key)[:ID_LENGTH]


def list_cache(cache: BuildCache, store: ImageStore) -> list[BuildCacheRecord]:
    """Return every record, oldest use first. Blocking."""
    in_use = chains_in_use(store)
    return [_shown(record, in_use) for record in cache.records()]


def chains_in_use(store: ImageStore) -> set[str]:
    """Return the chain IDs of all images."""
    return {chain for image in store.all() for chain in image.config.chain_ids()}


def _shown(record: Record, in_use: set[str]) -> BuildCacheRecord:
    layer = record.outcome.layer
    return BuildCacheRecord(
        id=record_id(record),
        parents=[hex_of(record.parent)[:ID_LENGTH]] if record.parent else [],  # type: ignore[arg-type]
        type="regular", description=record.description, in_use=False,
        shared=layer is not None and layer.chain_id in in_use, size=record.size,
        created_at=format_time(record.created_ns), last_used_at=format_time(record.used_ns),
        usage_count=record.uses,
    )  # fmt: skip


def prune_cache(cache: BuildCache, store: ImageStore, request: PruneRequest) -> PruneReport:
    """Remove records, and with them the layers that no image has. Blocking; InvalidArgument."""
    request.filters.validate(ALLOWED)
    before = _until(request.filters)
    in_use = chains_in_use(store)
    doomed = [
        record for record in cache.records()
        if _matches(record, request, in_use) and (before is None or record.used_ns < before)
    ]  # fmt: skip
    doomed = _beyond(doomed, cache.records(), request.reserved_space)
    freed = 0
    with store.lease() as lease:
        for record in doomed:
            layer = record.outcome.layer
            if layer is not None:
                lease.hold(layer.diff_id, layer.chain_id)
                freed += 0 if layer.chain_id in in_use else layer.size
        if not request.preview:
            cache.forget(record.key for record in doomed)
    removed = [record_id(record) for record in doomed]
    if request.everything and not request.filters:
        mounts = CacheMounts(cache.mounts)
        size = mounts.size()
        if request.preview:
            return PruneReport(caches_deleted=removed, space_reclaimed=freed + size)
        removed += mounts.prune()
        freed += size - mounts.size()
        cache.forget_trees()
    return PruneReport(caches_deleted=removed, space_reclaimed=freed)


def _matches(record: Record, request: PruneRequest, in_use: set[str]) -> bool:
    filters = request.filters
    layer = record.outcome.layer
    shared = layer is not None and layer.chain_id in in_use
    if shared and not request.everything and "shared" not in filters and "id" not in filters:
        return False  # an image keeps the layer: nothing would be won
    if "shared" in filters and not shared:
        return False
    if "private" in filters and shared:
        return False
    identifier = record_id(record)
    return (
        filters.fuzzy("id", identifier)
        and filters.exact("type", "regular")
        and filters.match("description", record.description)
        and filters.fuzzy("parent", hex_of(record.parent) if record.parent else "")  # type: ignore[arg-type]
        and "inuse" not in filters
    )


def _beyond(doomed: Sequence[Record], records: Sequence[Record], reserved: int) -> list[Record]:
    """Return as many of `doomed` as must go for the rest to take no more than `reserved`."""
    if reserved <= 0:
        return list(doomed)
    excess = sum(record.size for record in records) - reserved
    chosen: list[Record] = []
    for record in doomed:
        if excess <= 0:
            break
        chosen.append(record)
        excess -= record.size
    return chosen


def _until(filters: Filters) -> int | None:
    """Return the Unix ns before which records must have been used last, None for any time."""
    values = [*filters.get("until"), *filters.get("unused-for")]
    if not values:
        return None
    if len(values) > 1:
        raise InvalidArgument("more than one until filter specified")
    text = values[0]
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return int(text.partition(".")[0]) * 10**9
    try:
        return time.time_ns() - duration_ns(text)
    except SyntaxProblem:
        pass
    try:
        return parse_time(text)
    except ValueError:
        raise InvalidArgument(f'"until" filter expects a duration or timestamp: {text}') from None
