"""A limit on how large a container's own layer may grow. Blocking."""

import errno

from tiffin.errors import InvalidArgument
from tiffin.fs import project_quota
from tiffin.snapshots.snapshotter import Snapshotter


def limit_layer(snapshotter: Snapshotter, key: str, size: int) -> None:
    """Limit a snapshot that was just prepared; InvalidArgument where that cannot be had."""
    upper = snapshotter.upper(key)
    try:
        if upper is None:
            raise OSError(errno.ENOTSUP, "copies have no layer")
        # Files are made in the one and moved to the other, which works within a project only.
        places = (upper, upper.parent / "work")
        project_quota.limit([str(place) for place in places], size, int(key[:8], 16))
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        raise InvalidArgument(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"
        ) from error


def forget_limit(snapshotter: Snapshotter, key: str) -> None:
    """Give the limit back before the snapshot goes; NotFound."""
    upper = snapshotter.upper(key)
    if upper is not None:
        project_quota.lift(str(upper))
