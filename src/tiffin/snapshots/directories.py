"""What all snapshotters on a local file system share: a catalogue and a directory per snapshot.

```
<root>/catalogue.db
<root>/<directory>/fs      the snapshot's tree: whole (native) or only its changes (overlay)
<root>/<directory>/work    overlay's work directory
```
Order of steps, so that a crash at any point leaves at worst a directory without a row, which
`recover` removes: make directories → add the row; delete the row → remove the directories.

The catalogue is not synced at every change, so a power cut may take its last rows while the data
of an active snapshot, synced by its container, is there. Therefore each directory bears its own
row as an attribute, which the file system's journal keeps no later than such data.
"""

import errno
import json
import os
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from tiffin.errors import AlreadyExists, NotFound
from tiffin.fs.atomic import sync_filesystem
from tiffin.fs.rooted import remove_tree
from tiffin.fs.usage import measure
from tiffin.snapshots.catalogue import Catalogue, Record
from tiffin.snapshots.snapshotter import Kind, SnapshotInfo, Usage

SETTLE_DELAY_S = 3.0
"""How long after a commit its data is synced, so that a whole image is synced at once."""

_ROW_ATTRIBUTE = "user.tiffin.snapshot"
_NO_ATTRIBUTES = (errno.ENOTSUP, errno.ENODATA, errno.EPERM)


class SnapshotDirectories:
    """The common half of a snapshotter below `root`, which is created."""

    def __init__(self, root: Path, *, settle_delay_s: float = SETTLE_DELAY_S) -> None:
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._root = root.absolute()
        self._catalogue = Catalogue(root / "catalogue.db")
        self._usages: dict[str, Usage] = {}
        self._settle_delay_s = settle_delay_s
        self._settling: threading.Thread | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Stop settling and close the catalogue; what is unsettled is settled after a restart."""
        self._closing.set()
        with self._lock:
            settling = self._settling
        if settling is not None:
            settling.join()
        self._catalogue.close()

    def commit(self, name: str, key: str) -> None:
        """Make the active snapshot `key` immutable under `name`; AlreadyExists keeps `key`."""
        self._catalogue.commit(name, key)
        self._settle_later()

    def remove(self, key: str) -> None:
        """Remove a snapshot of any kind; Conflict while it has children, NotFound."""
        record = self._catalogue.remove(key)
        self._usages.pop(record.directory, None)
        remove_tree(self._root / record.directory)

    def stat(self, key: str) -> SnapshotInfo:
        """Describe one snapshot; NotFound."""
        return self._catalogue.get(key).info

    def usage(self, key: str) -> Usage:
        """Measure one snapshot; NotFound. The measure of a committed one is remembered."""
        record = self._catalogue.get(key)
        if record.kind is Kind.VIEW:
            return Usage(0, 0)
        known = self._usages.get(record.directory)
        if known is None:
            known = Usage(*measure(self._root / record.directory / "fs"))
            if record.kind is Kind.COMMITTED:
                self._usages[record.directory] = known
        return known

    def walk(self) -> Iterator[SnapshotInfo]:
        """Yield every snapshot, parents before children."""
        for record in self._catalogue.walk():
            yield record.info

    def recover(self, known_keys: Collection[str] | None = None) -> list[str]:
        """Clean up after a crash; return the names of the snapshots that were dropped.

        Dropped are: active snapshots and views whose key is not in `known_keys` (if that is given),
        rows without directory, and committed snapshots whose data was not yet synced when the
        machine went down. What lies above those stays, waiting for them to be made again under the
        same name. Directories without a row are removed, unless they say that they are a known key.
        """
        dropped: list[str] = []
        self._adopt(known_keys or ())
        for record in reversed(list(self._catalogue.walk())):
            if record.kind is not Kind.COMMITTED and (
                known_keys is not None and record.name not in known_keys
            ):
                self._drop(record, dropped)
        for record in reversed(list(self._catalogue.walk())):
            if self._is_lost(record):
                self._drop(record, dropped)
        self._remove_strays()
        if self._catalogue.unsettled():
            self._settle_later()
        return dropped

    def settle(self) -> None:
        """Write out the data of all committed snapshots and note it; OSError."""
        if records := self._catalogue.unsettled():
            sync_filesystem(self._root)
            self._catalogue.settle(records)

    def _directory(self, record: Record) -> Path:
        return self._root / record.directory

    def _fresh(self) -> Path:
        """Create the directory of a new snapshot."""
        while True:
            directory = self._root / secrets.token_hex(5)
            with suppress(FileExistsError):
                directory.mkdir(0o700)
                return directory

    def _add(self, key: str, parent: str, kind: Kind, directory: Path) -> None:
        try:
            if kind is Kind.ACTIVE:
                _write_row(directory, key, parent)
            self._catalogue.add(Record(key, directory.name, parent, kind, time.time()))
        except BaseException:
            remove_tree(directory)
            raise

    def _parents(self, name: str) -> list[Path]:
        """Return the trees of `name` and what is below it, top first; NotFound."""
        return [self._directory(record) / "fs" for record in self._catalogue.chain(name)]

    def _active(self, key: str) -> Record:
        record = self._catalogue.get(key)
        if record.kind is Kind.COMMITTED:
            raise NotFound(f"snapshot {key} is committed: it has no mounts")
        return record

    def _is_lost(self, record: Record) -> bool:
        if not self._directory(record).is_dir():
            return True
        return (
            record.kind is Kind.COMMITTED
            and not record.settled
            and record.boot != self._catalogue.boot
        )

    def _drop(self, record: Record, dropped: list[str]) -> None:
        self._catalogue.drop(record)
        self._usages.pop(record.directory, None)
        remove_tree(self._root / record.directory)
        dropped.append(record.name)

    def _adopt(self, known_keys: Collection[str]) -> None:
        """Add the rows of active snapshots again that the catalogue has lost."""
        present = {record.directory for record in self._catalogue.walk()}
        for path in self._root.iterdir():
            if not path.is_dir() or path.name in present:
                continue
            key, parent = _read_row(path)
            if key in known_keys:
                with suppress(AlreadyExists):
                    self._catalogue.adopt(Record(key, path.name, parent, Kind.ACTIVE, time.time()))

    def _remove_strays(self) -> None:
        known = {record.directory for record in self._catalogue.walk()}
        for path in self._root.iterdir():
            if path.is_dir() and path.name not in known:
                remove_tree(path)

    def _settle_later(self) -> None:
        with self._lock:
            if self._settling is None and not self._closing.is_set():
                self._settling = threading.Thread(
                    target=self._settle_soon, name="snapshots-settle", daemon=True
                )
                self._settling.start()

    def _settle_soon(self) -> None:
        try:
            while not self._closing.wait(self._settle_delay_s):
                self.settle()
                with self._lock:
                    if not self._catalogue.unsettled():
                        self._settling = None
                        return
        except BaseException:
            with self._lock:
                self._settling = None
            raise


def _write_row(directory: Path, key: str, parent: str) -> None:
    row = json.dumps({"key": key, "parent": parent}).encode()
    try:
        os.setxattr(directory, _ROW_ATTRIBUTE, row)
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTES:  # such a file system has only the catalogue
            raise


def _read_row(directory: Path) -> tuple[str, str]:
    """Return (key, parent) as the directory says itself; ("", "") if it says nothing."""
    try:
        row = json.loads(os.getxattr(directory, _ROW_ATTRIBUTE))
        return row["key"], row["parent"]
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTES:
            raise
        return "", ""
