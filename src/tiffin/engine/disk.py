"""Where the disk has gone: every block below the data root counted once, under one heading.

The figures add up to what du(1) says of the data root, because they are made the same way.
"""

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from tiffin.engine.roots import Roots
from tiffin.fs.usage import Allocation
from tiffin.images.garbage import Reach
from tiffin.snapshots.snapshotter import Kind, Snapshotter

LAYERS = "Image layers"
BLOBS = "Image blobs"
FILES = "Container files"
LOGS = "Container logs"
VOLUMES = "Volumes"
CACHE = "Build cache"
TRASH = "Trash"
OTHER = "State and transfers"
HEADINGS = (LAYERS, BLOBS, FILES, LOGS, VOLUMES, CACHE, TRASH, OTHER)


@dataclass(frozen=True, slots=True)
class Living:
    """What is in use: by images (`reach`), and the ids of containers and volumes.

    Anything else of the same kind is in the trash, or belongs to the build cache.
    """

    reach: Reach
    containers: Collection[str]
    retired_containers: Collection[str]
    volume_directories: Collection[str]


def measure(roots: Roots, snapshotter: Snapshotter, living: Living) -> dict[str, int]:
    """Return bytes by heading. Blocking; what changes meanwhile may be counted twice or not."""
    found = dict.fromkeys(HEADINGS, 0)
    counted = Allocation()
    for heading, path in (
        *_blobs(roots, living), *_snapshots(snapshotter, living), *_containers(roots, living),
        *_volumes(roots, living), (CACHE, roots.build_cache),
    ):  # fmt: skip
        found[heading] += counted.of(path)
    # The rest of the data root: the database, transfers under way, the directories themselves.
    found[OTHER] = counted.of(roots.data)
    return found


def _blobs(roots: Roots, living: Living) -> Iterator[tuple[str, Path]]:
    for directory, _, names in os.walk(roots.content / "blobs"):
        for name in names:
            digest = f"{Path(directory).name}:{name}"
            heading = CACHE
            if digest in living.reach.blobs:
                heading = BLOBS
            elif digest in living.reach.retired_blobs:
                heading = TRASH
            yield heading, Path(directory, name)


def _snapshots(snapshotter: Snapshotter, living: Living) -> Iterator[tuple[str, Path]]:
    for info in snapshotter.walk():
        files = snapshotter.upper(info.name)
        if files is None:
            continue
        heading = CACHE
        if info.kind is Kind.COMMITTED:
            if info.name in living.reach.snapshots:
                heading = LAYERS
            elif info.name in living.reach.retired_snapshots:
                heading = TRASH
        elif info.name[:64] in living.retired_containers:
            heading = TRASH
        elif info.name[:64] in living.containers:
            heading = FILES
        yield heading, files.parent


def _containers(roots: Roots, living: Living) -> Iterator[tuple[str, Path]]:
    parent = roots.container("x").parent
    for identifier in living.retired_containers:
        yield TRASH, parent / identifier
    for identifier in living.containers:
        yield LOGS, parent / identifier / "log"
        yield FILES, parent / identifier


def _volumes(roots: Roots, living: Living) -> Iterator[tuple[str, Path]]:
    try:
        names = os.listdir(roots.volumes)
    except FileNotFoundError:
        return
    for name in names:
        is_used = name in living.volume_directories
        yield VOLUMES if is_used else TRASH, roots.volumes / name
