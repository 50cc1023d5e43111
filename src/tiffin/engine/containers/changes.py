"""`docker diff`: what a container changed in its root filesystem."""

from tiffin.api.types.containers import ChangeItem
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.layers import changes as layer_changes


def changes(context: Context, container: Container) -> list[ChangeItem]:
    """Return the changed paths in order. Blocking; NotFound."""
    snapshotter = context.snapshotter
    lowers = snapshotter.lowers(container.id)
    found = layer_changes.changes(
        snapshotter.mounts(container.id), snapshotter.upper(container.id), lowers
    )
    own = {point.target for point in container.spec.mounts}
    return [
        ChangeItem(path=change.path, kind=int(change.kind))
        for change in found
        if change.path not in own
    ]
