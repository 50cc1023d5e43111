"""`docker diff`: what a container changed in its root filesystem."""

from collections.abc import Collection, Iterator

from tiffin.api.types.containers import ChangeItem
from tiffin.engine.containers.context import Context
from tiffin.engine.containers.model import Container
from tiffin.layers import changes as layer_changes
from tiffin.layers.changes import Change, ChangeKind

_ADDED, _MODIFIED = ChangeKind.ADDED, ChangeKind.MODIFIED
_MOUNT_POINTS = frozenset(
    {"/dev", "/proc", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}
)


def changes(context: Context, container: Container) -> list[ChangeItem]:
    """Return the changed paths in order. Blocking; NotFound."""
    snapshotter = context.snapshotter
    lowers = snapshotter.lowers(container.id)
    found = layer_changes.changes(
        snapshotter.mounts(container.id), snapshotter.upper(container.id), lowers
    )
    ours = _MOUNT_POINTS | {point.target for point in container.spec.mounts}
    return [ChangeItem(path=change.path, kind=int(change.kind)) for change in without(found, ours)]


def without(found: list[Change], ours: Collection[str]) -> list[Change]:
    """Leave out the mount points that the runtime made, and directories changed by that alone."""
    made = {change.path for change in found if change.path in ours and change.kind is _ADDED}
    if not made:
        return found
    kept = [change for change in found if change.path not in made]
    above = {parent for path in made for parent in _parents(path)}
    needed = {
        parent
        for change in kept
        if change.path not in above or change.kind is not _MODIFIED
        for parent in _parents(change.path)
    }
    return [
        change
        for change in kept
        if change.path not in above - needed or change.kind is not _MODIFIED
    ]


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
