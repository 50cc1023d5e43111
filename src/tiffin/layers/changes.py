"""What a container changed, as `docker diff` lists it."""

import stat
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from tiffin.fs import xattrs
from tiffin.fs.rooted import Root
from tiffin.layers.describe import join
from tiffin.layers.diff import same
from tiffin.layers.merged import MergedTree
from tiffin.layers.whiteouts import is_whiteout
from tiffin.spec.mount import Mount


class ChangeKind(IntEnum):
    """Engine API, ChangeType."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One changed path, absolute."""

    path: str
    kind: ChangeKind


def changes(
    mounts: Sequence[Mount], upper: Path | None = None, lowers: Sequence[Path] = ()
) -> list[Change]:
    """Return the changes of a snapshot, sorted by path; directories above a change are modified.

    `mounts`, `upper` and `lowers` are what the snapshotter answers for it. OSError.
    """
    with ExitStack() as scope:
        below = [scope.enter_context(Root.at(each)) for each in lowers]
        if upper is not None:
            found = _of_upper(scope.enter_context(Root.at(upper)), MergedTree(below))
        else:
            found = _of_tree(
                scope.enter_context(Root.at(mounts[0].source)), below[0] if below else None
            )
    return sorted(Change(f"/{path}", kind) for path, kind in _with_parents(found).items())


def _of_upper(upper: Root, below: MergedTree) -> dict[str, ChangeKind]:
    found: dict[str, ChangeKind] = {}
    pending = [("", False)]
    while pending:
        directory, is_new = pending.pop()
        for name in upper.listdir(directory):
            path = join(directory, name)
            status = upper.stat(path)
            before = None if is_new else below.find(path)
            if is_whiteout(status):
                if before is not None:
                    found[path] = ChangeKind.DELETED
                continue
            is_directory = stat.S_ISDIR(status.st_mode)
            merges = False
            if before is None:
                found[path] = ChangeKind.ADDED
            else:
                was_directory = stat.S_ISDIR(before[1].st_mode)
                merges = is_directory and was_directory
                is_replaced = merges and xattrs.is_opaque(xattrs.at(*upper.locate(path)))
                # An untouched directory is only here for what is below it.
                if not merges or is_replaced or not same(upper, path, status, *before):
                    found[path] = ChangeKind.MODIFIED
                merges = merges and not is_replaced
            if is_directory:
                pending.append((path, not merges))
    return found


def _of_tree(new: Root, old: Root | None) -> dict[str, ChangeKind]:
    found: dict[str, ChangeKind] = {}
    pending = [("", old is not None)]
    while pending:
        directory, has_old = pending.pop()
        names = set(new.listdir(directory))
        before = set(old.listdir(directory)) if has_old and old is not None else set()
        for name in names | before:
            path = join(directory, name)
            if name not in names:
                found[path] = ChangeKind.DELETED
                continue
            status = new.stat(path)
            was_directory = False
            if name in before and old is not None:
                earlier = old.stat(path)
                was_directory = stat.S_ISDIR(earlier.st_mode)
                if not same(new, path, status, old, earlier):
                    found[path] = ChangeKind.MODIFIED
            else:
                found[path] = ChangeKind.ADDED
            if stat.S_ISDIR(status.st_mode):
                pending.append((path, was_directory))
    return found


def _with_parents(found: dict[str, ChangeKind]) -> dict[str, ChangeKind]:
    everything = dict(found)
    for path in found:
        while path := path.rpartition("/")[0]:
            everything.setdefault(path, ChangeKind.MODIFIED)
    return everything
