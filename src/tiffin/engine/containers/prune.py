"""Remove all containers that do not run."""

import asyncio
import time

from tiffin.api.filters import Filters
from tiffin.api.types.containers import PruneResponse
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.engine.containers.remove import remove
from tiffin.engine.containers.until import parse_until
from tiffin.errors import Conflict, NotFound


async def prune(context: Context, filters: Filters) -> PruneResponse:
    """Remove what has ended or never started, and say how many bytes that freed."""
    filters.validate({"until", "label", "label!"})
    until_ns = parse_until(filters.get("until"), time.time_ns())
    removed: list[str] = []
    reclaimed = 0
    for container in context.registry:
        if not _is_due(container, filters, until_ns):
            continue
        try:
            usage = await asyncio.to_thread(context.snapshotter.usage, container.id)
            await remove(context, container)
        except (Conflict, NotFound):
            continue  # started or removed by somebody meanwhile
        removed.append(container.id)
        reclaimed += usage.size
    context.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
    return PruneResponse(containers_deleted=removed or None, space_reclaimed=reclaimed)


def _is_due(container: Container, filters: Filters, until_ns: int | None) -> bool:
    if container.up:
        return False
    if until_ns is not None and container.spec.created_ns > until_ns:
        return False
    return filters.matches_labels(container.spec.config.labels)
