"""The cgroup contract: one container's group, in however many hierarchies it lives.

`resources` is an OCI `linux.resources` object (config-linux, "Control groups") everywhere. What is
written is planned first as `Setting`s (`v1.plan`, `v2.plan`), which tests and `--explain` read.
"""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

Resources = dict[str, Any]
Figures = dict[str, Any]
Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Setting:
    """One value to write into a file of the group.

    `optional`: a kernel without the file costs only a warning.
    """

    controller: str
    file: str
    value: str
    optional: bool = False

    def describe(self) -> str:
        """Say what it is for."""
        return f"set the {self.controller} limit {self.file} to {self.value}"


@dataclass(frozen=True, slots=True)
class OomNotice:
    """A descriptor that has the epoll `event` when a group may have run out of memory.

    `file` counts the kills. v1's is about nothing else, but for the end of the group itself.
    """

    fd: int
    event: int
    file: str


class Group(Protocol):
    """One container's cgroup."""

    @property
    def path(self) -> str:
        """Path below the hierarchies' roots."""

    def create(self, resources: Resources, warn: Warn) -> None:
        """Make the group with its limits; nothing is left if that fails. OSError."""

    def join_files(self, resources: Resources | None = None) -> tuple[str, ...]:
        """Return the files into which a single-threaded process writes `0` to join.

        With `resources`: those that there will be once the group has been created with them.
        Unlike writing a pid, that takes no lock on all processes of the system (5 to 20 ms).
        """

    def directory(self) -> str:
        """Return the v2 directory for CLONE_INTO_CGROUP; "" if the group is joined by files."""

    def update(self, resources: Resources, warn: Warn) -> None:
        """Change the limits that are named; OSError."""

    def pids(self) -> list[int]:
        """Return the processes of the group and its children."""

    def signal(self, number: int) -> None:
        """Signal every process."""

    def kill(self) -> None:
        """Send SIGKILL to every process, those that are being forked included."""

    def is_frozen(self) -> bool:
        """Tell whether whoever joined would be stopped at once."""

    def freeze(self) -> None:
        """Stop every process and wait until they stand; OSError(EBUSY) if they don't."""

    def thaw(self) -> None:
        """Let them go on."""

    def oom_kills(self) -> int:
        """Return how often the kernel killed a process of the group for want of memory."""

    def open_oom_notice(self) -> "OomNotice":
        """Return what to poll to hear of the memory running out; OSError."""

    def stats(self) -> Figures:
        """Return raw figures (`stats.py`)."""

    def remove(self) -> None:
        """Kill what is left and remove the group with its children; idempotent. OSError(EBUSY)."""


def make_directory(root: str, path: str) -> str:
    """Make the group `path` below the hierarchy `root` with its parents; return its directory.

    Parents that had to be made are noted, so that the last group in them takes them away. Another
    process may be doing so at the same time.
    """
    directory = f"{root}/{path.strip('/')}"
    try:
        os.mkdir(directory)  # the parents nearly always stand
        return directory
    except FileExistsError:
        return directory  # left by a runtime that was killed; `create` sets all limits anew
    except FileNotFoundError:
        pass
    for _ in range(100):
        try:
            return _make_all(root, path)
        except FileNotFoundError:
            continue
    return _make_all(root, path)


def _make_all(root: str, path: str) -> str:
    *parents, last = path.strip("/").split("/")
    here = root
    for name in parents:
        if not os.path.isdir(f"{here}/{name}"):
            # Noted before it is made: a process that is killed in between leaves no riddle.
            os.setxattr(here, _note(name), b"1")
        here = f"{here}/{name}"
        try:
            os.mkdir(here)
        except FileExistsError:
            continue
    here = f"{here}/{last}"
    try:
        os.mkdir(here)
    except FileExistsError:
        pass  # left by a runtime that was killed; `create` sets all limits anew
    return here


def remove_parents(root: str, path: str) -> None:
    """Remove the parents of `path` that `make_directory` made, unless others live in them."""
    parent = os.path.dirname(path)
    while parent != "/" and is_ours(root + parent):
        try:
            os.rmdir(root + parent)
        except OSError:  # not empty, or gone
            return
        parent = os.path.dirname(parent)


def is_ours(directory: str) -> bool:
    """Tell whether `make_directory` made it as a parent of a group."""
    above, name = os.path.split(directory)
    try:
        return bool(os.getxattr(above, _note(name)))
    except OSError:
        return False


def _note(name: str) -> str:
    """Return the extended attribute that says, on a directory, that we made `name` in it."""
    return f"trusted.tiffin.{name[:200]}"


def read(path: str) -> str:
    """Return the text of a small file; OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        chunks = []
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
        return b"".join(chunks).decode()
    finally:
        os.close(fd)


def write(path: str, value: str) -> None:
    """Put a value into a file by a single system call; OSError names the file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def write_each(path: str, values: Iterable[str]) -> None:
    """Put one value after the other into a file; OSError names the file."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for value in values:
            os.pwrite(fd, value.encode(), 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def refuse_inhabited(directory: str) -> None:
    """Raise OSError(EBUSY) if a running container has the group, lest it be taken for a remnant."""
    if processes(directory):
        raise OSError(errno.EBUSY, "the control group has processes already", directory)


def descendants(directory: str) -> Iterator[str]:
    """Yield the groups below `directory`, children first, then itself; none if it is gone."""
    try:
        with os.scandir(directory) as entries:
            children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for child in children:
        yield from descendants(child)
    yield directory


def processes(directory: str) -> list[int]:
    """Return the pids in `directory` and below."""
    found: list[int] = []
    for group in descendants(directory):
        try:
            found += [int(pid) for pid in read(f"{group}/cgroup.procs").split()]
        except OSError:  # removed meanwhile
            continue
    return found


def signal_all(pids: list[int], number: int) -> None:
    """Send the signal to each process that is still there."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def remove_tree(directory: str, timeout_s: float = 5.0) -> None:
    """Remove the group and those below; waits for dying processes. OSError(EBUSY)."""
    try:
        os.rmdir(directory)  # few have groups below
        return
    except FileNotFoundError:
        return
    except OSError:
        pass
    deadline = time.monotonic() + timeout_s
    pause_s = 0.0005
    while True:
        try:
            for group in descendants(directory):
                os.rmdir(group)
            return
        except FileNotFoundError:
            continue
        except OSError:
            if time.monotonic() > deadline:
                raise
        # The kernel offers no notice in v1; the last of a killed group is gone within moments.
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 0.05)
