"""Directories of ended tasks: out of the way at once, removed when there is time.

Removing one takes milliseconds where the exec root is on a disk, which nobody should wait for, the
event loop least of all. What a crash leaves is removed at the next start.
"""

import asyncio
import itertools
import os
import shutil
from pathlib import Path


class Discarded:
    """Moves directories below `place`, which is on their file system, and empties it."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._count = itertools.count()
        self._waiting: list[Path] = []
        self._removal: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """Make the place, and empty it of what an earlier daemon has left there; OSError."""
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._waiting += self._place.iterdir()
        await self.close()

    def add(self, directory: Path) -> None:
        """Have a directory removed, whose name is free when this returns; it may be gone."""
        aside = self._place / f"{os.getpid()}-{next(self._count)}"
        try:
            directory.rename(aside)
        except FileNotFoundError:
            if directory.exists():  # it is the place that is not there
                shutil.rmtree(directory, ignore_errors=True)
            return
        except OSError:
            shutil.rmtree(directory, ignore_errors=True)
            return
        self._waiting.append(aside)
        if self._removal is None:
            self._begin()

    async def close(self) -> None:
        """Wait until all is removed."""
        if self._removal is None and self._waiting:
            self._begin()
        while self._removal is not None:
            await asyncio.wait([self._removal])
            await asyncio.sleep(0)  # the next round begins in a callback

    def _begin(self) -> None:
        # One thread at a time: others of the pool serve those who wait.
        batch, self._waiting = self._waiting, []
        self._removal = asyncio.get_running_loop().run_in_executor(None, _remove, batch)
        self._removal.add_done_callback(self._on_removed)

    def _on_removed(self, _removal: asyncio.Future[None]) -> None:
        self._removal = None
        if self._waiting:
            self._begin()


def _remove(directories: list[Path]) -> None:
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)
