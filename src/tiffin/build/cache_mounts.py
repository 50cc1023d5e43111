"""Directories of `RUN --mount=type=cache`: they outlive builds and are no part of any image."""

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tiffin.build.copier import Copier, CopyRules
from tiffin.build.dockerfile.instructions import RunMount
from tiffin.build.executor import Cancellation
from tiffin.build.graph import Tree
from tiffin.build.selection import select
from tiffin.fs.locks import locked, try_lock
from tiffin.fs.rooted import Root, remove_tree

DEFAULT_MODE = 0o755
RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class CacheMounts:
    """All of them, below one directory: `<digest of id and origin>-<number>/{data,lock,making}`."""

    root: Path

    @contextmanager
    def open(
        self, mount: RunMount, origin: Tree | None, cancellation: Cancellation
    ) -> Iterator[Path]:
        """Yield the directory to mount, as `sharing` says: shared, alone or a private one."""
        identity = mount.identity or mount.target
        name = hashlib.sha256(f"{identity}\0{mount.origin}\0{mount.source}".encode()).hexdigest()
        if mount.sharing == "shared":
            place = self._place(f"{name[:32]}-0", mount, origin)
            with _locked(place.parent / "lock", cancellation, fcntl.LOCK_SH):
                yield place
        elif mount.sharing == "locked":
            place = self._place(f"{name[:32]}-0", mount, origin)
            with _locked(place.parent / "lock", cancellation):
                yield place
        else:
            with self._first_free(name[:32], mount, origin) as place:
                yield place

    @contextmanager
    def _first_free(self, name: str, mount: RunMount, origin: Tree | None) -> Iterator[Path]:
        number = 0
        while True:
            place = self._place(f"{name}-{number}", mount, origin)
            fd = os.open(place.parent / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if try_lock(fd):
                    yield place
                    return
            finally:
                os.close(fd)
            number += 1

    def _place(self, name: str, mount: RunMount, origin: Tree | None) -> Path:
        directory = self.root / name
        data = directory / "data"
        if data.exists():
            return data
        directory.mkdir(mode=0o700, exist_ok=True)
        with locked(directory / "making"):
            if data.exists():
                return data
            remove_tree(directory / "new")
            fresh = directory / "new"
            fresh.mkdir()
            if origin is not None:
                _fill(fresh, mount, origin)
            os.chown(fresh, mount.uid, mount.gid)
            fresh.chmod(mount.mode if mount.mode >= 0 else DEFAULT_MODE)
            fresh.rename(data)
        return data

    def size(self) -> int:
        """Return the bytes that all of them take."""
        total = 0
        for directory, _, files in os.walk(self.root):
            for name in files:
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
        return total

    def prune(self) -> list[str]:
        """Remove those not in use; return their names."""
        removed = []
        for directory in sorted(self.root.iterdir()):
            fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if try_lock(fd):
                    remove_tree(directory)
                    removed.append(directory.name)
            finally:
                os.close(fd)
        return removed


def _fill(place: Path, mount: RunMount, origin: Tree) -> None:
    with origin.open() as source, Root.at(place) as target:
        for selected in select(source, mount.source or "/", "RUN"):
            Copier(source, target, CopyRules()).copy(selected, "/", into_directory=True)


@contextmanager
def _locked(path: Path, cancellation: Cancellation, kind: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock that other builds may hold for long: waiting for it can be cancelled."""
    stopped = threading.Event()
    forget = cancellation.subscribe(stopped.set)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try(fd, kind):
            stopped.wait(RETRY_S)
            cancellation.check()
        yield
    finally:
        forget()
        os.close(fd)


def _try(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
