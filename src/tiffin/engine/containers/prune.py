"""Remove all containers that do not run."""

import asyncio
import time
from collections.abc import Callable

from tiffin.api.filters import Filters
from tiffin.api.types.containers import PruneResponse
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.remove import Retirement, remove
from tiffin.engine.containers.until import parse_until
from tiffin.errors import Conflict, NotFound


async def prune(context: Context, filters: Filters) -> PruneResponse:
    """Remove what has ended or never started, and say how many bytes that freed."""
    is_due = _due(filters)
    operation = await context.bin.begin("container prune")
    removed: list[str] = []
    reclaimed = 0
    for container in context.registry:
        if not is_due(container):
            continue
        try:
            usage = await asyncio.to_thread(context.snapshotter.usage, container.id)
            retirement = None if operation is None else Retirement(operation, usage.size)
            await remove(context, container, retirement=retirement)
        except (Conflict, NotFound):
            continue  # started or removed by somebody meanwhile
        removed.append(container.id)
        reclaimed += usage.size
    context.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
    return PruneResponse(containers_deleted=removed or None, space_reclaimed=reclaimed)


async def preview(context: Context, filters: Filters) -> PruneResponse:
    """Tell what `prune` would do."""
    found = list(filter(_due(filters), context.registry))
    sizes = [await asyncio.to_thread(context.snapshotter.usage, item.id) for item in found]
    return PruneResponse(
        containers_deleted=[item.id for item in found] or None,
        space_reclaimed=sum(usage.size for usage in sizes),
    )


def _due(filters: Filters) -> Callable[[Container], bool]:
    filters.validate({"until", "label", "label!"})
    until_ns = parse_until(filters.get("until"), time.time_ns())

    def is_due(container: Container) -> bool:
        if container.up or (until_ns is not None and container.spec.created_ns > until_ns):
            return False
        return filters.matches_labels(container.spec.config.labels)

    return is_due
