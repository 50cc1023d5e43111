"""One container as it is now: its record, its first process, its control group."""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiffin.errors import FailedPrecondition
from tiffin.linux.cgroups.group import Group
from tiffin.linux.cgroups.hierarchy import open_group
from tiffin.oci.log import Log
from tiffin.oci.store import GATE, Record, Store, is_waiting

CREATED, RUNNING, PAUSED, STOPPED = "created", "running", "paused", "stopped"
KILL_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Container:
    """The kernel and the files tell how it is; nothing is cached."""

    store: Store
    record: Record

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.store.directory(self.record.id)

    @property
    def group(self) -> Group:
        """Its control group."""
        return open_group(self.record.cgroup)

    def status(self) -> str:
        """Return the status word of the specification, or `paused`."""
        if not is_alive(self.record.pid, self.record.start_time):
            return STOPPED
        if self.group.is_frozen():
            return PAUSED
        return CREATED if is_waiting(self.directory) else RUNNING

    def open(self) -> int:
        """Return a pidfd of its first process; FailedPrecondition if that has ended."""
        try:
            descriptor = os.pidfd_open(self.record.pid)
        except ProcessLookupError:
            raise FailedPrecondition("container not running") from None
        # Only now is it certain that the number is not another's.
        if not is_alive(self.record.pid, self.record.start_time):
            os.close(descriptor)
            raise FailedPrecondition("container not running")
        return descriptor

    def state(self) -> dict[str, Any]:
        """Return what `state` and `list` tell."""
        record, status = self.record, self.status()
        return {
            "ociVersion": "1.2.0",
            "id": record.id,
            "pid": 0 if status == STOPPED else record.pid,
            "status": status,
            "bundle": record.bundle,
            "rootfs": record.rootfs,
            "created": record.created,
            "annotations": self.annotations(),
            "owner": "",
        }

    def annotations(self) -> Mapping[str, str]:
        """Return those of its configuration."""
        found = self.store.config(self.record.id).get("annotations")
        return found if isinstance(found, dict) else {}

    def kill(self) -> None:
        """Kill all of it and wait for the end; nothing happens if it has ended."""
        from tiffin.linux import pidfd  # system calls, which most commands do without

        group = self.group
        try:
            descriptor = self.open()
        except FailedPrecondition:
            group.kill()
            return
        try:
            pidfd.send_signal(descriptor, signal.SIGKILL)
            group.thaw()
            group.kill()
            if not pidfd.has_ended(descriptor, KILL_TIMEOUT_S):
                raise FailedPrecondition("container init still running")
        finally:
            os.close(descriptor)

    def destroy(self, log: Log) -> None:
        """Remove all of a container that has ended, and run its last hooks."""
        self.group.remove()
        document = self.store.config(self.record.id)
        (self.directory / GATE).unlink(missing_ok=True)
        self.store.remove(self.record.id)
        if document.get("hooks"):
            from tiffin.oci.hooks import run_poststop  # few containers have some

            run_poststop(self.record, document, log)


def is_alive(pid: int, start_time: int) -> bool:
    """Tell whether that process runs; one that has ended and was not collected does not."""
    state, began = process_state(pid)
    return began == start_time and state not in ("Z", "X", "")


def process_state(pid: int) -> tuple[str, int]:
    """Return state letter and start time of a process, ("", 0) if there is none.

    proc_pid_stat(5), fields 3 and 22.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return fields[0].decode(), int(fields[19])
