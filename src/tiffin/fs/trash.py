"""A place for what was deleted and can still be undone, until it expires.

```
<root>/<expiry, Unix seconds>-<kind>-<id>-<random>/{note,content/}
```
`content` is what was deleted, moved by rename, so it must be on the same file system. The entry
appears by rename too: half-made ones begin with a dot and are removed by `purge`.
"""

import os
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tiffin.fs import atomic
from tiffin.fs.rooted import remove_tree

_NAME = re.compile(r"(\d+)-([a-z]+)-(.+)-[0-9a-f]+")
_HALF_MADE_S = 3600.0


@dataclass(frozen=True, slots=True)
class TrashEntry:
    """One deleted thing; `note` is whatever its owner needs to bring it back."""

    path: Path
    kind: str
    id: str
    expires: int

    @property
    def content(self) -> Path:
        """What was deleted."""
        return self.path / "content"

    @property
    def note(self) -> bytes:
        """What its owner wrote down."""
        return (self.path / "note").read_bytes()


class Trash:
    """The trash below `root`, which is created when first needed."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, content: Path, kind: str, identifier: str, note: bytes, *, keep_s: float) -> None:
        """Move `content` here for `keep_s` seconds; OSError."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        unique = secrets.token_hex(6)
        half_made = self._root / f".{unique}"
        half_made.mkdir(0o700)
        atomic.write(half_made / "note", note, durable=False)
        content.rename(half_made / "content")
        expires = int(time.time() + keep_s)
        half_made.rename(self._root / f"{expires}-{kind}-{identifier}-{unique}")

    def entries(self, kind: str) -> Iterator[TrashEntry]:
        """Yield what is here of one kind, the latest to expire first."""
        for entry in sorted(self._all(), key=lambda each: -each.expires):
            if entry.kind == kind:
                yield entry

    def take(self, entry: TrashEntry, target: Path) -> None:
        """Move the content of `entry` to `target` and drop the entry; OSError."""
        entry.content.rename(target)
        remove_tree(entry.path)

    def purge(self) -> int:
        """Remove for good what has expired; return how many entries. OSError."""
        now = time.time()
        gone = 0
        for entry in list(self._all()):
            if entry.expires <= now:
                remove_tree(entry.path)
                gone += 1
        for name in self._names():
            path = self._root / name
            if name.startswith(".") and os.stat(path).st_mtime < now - _HALF_MADE_S:
                remove_tree(path)
        return gone

    def _all(self) -> Iterator[TrashEntry]:
        for name in self._names():
            if match := _NAME.fullmatch(name):
                expires, kind, identifier = match.groups()
                yield TrashEntry(self._root / name, kind, identifier, int(expires))

    def _names(self) -> list[str]:
        try:
            return os.listdir(self._root)
        except FileNotFoundError:
            return []
