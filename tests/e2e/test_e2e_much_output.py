"""A process that says more than anybody can hold: nothing is lost, and none of our processes grows."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.e2e.e2e_daemon import Daemon

pytestmark = pytest.mark.e2e

LINES = 400_000
LINE = b"abcdefghij" * 9 + b"klmnopqrs"
SCRIPT = f"yes {LINE.decode()} | head -n {LINES}"
MOST_GROWTH_KB = 16_000
"""Less than half of what is said; what a daemon holds of a log on its way, and some slack."""


@contextmanager
def peaks(pids: Callable[[], list[int]]) -> Iterator[dict[int, tuple[int, int]]]:
    """Watch processes; after the block, (first, most) KB of private memory by process."""
    seen: dict[int, tuple[int, int]] = {}
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            for pid in pids():
                with suppress(OSError, TypeError):
                    status = Path(f"/proc/{pid}/status").read_text()
                    found = int(re.search(r"RssAnon:\s+(\d+)", status)[1])  # type: ignore[index]
                    first, most = seen.get(pid, (found, found))
                    seen[pid] = (first, max(most, found))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def descendants(daemon: int) -> list[int]:
    """Return the daemon, its spawner and the shims; not what runs in containers."""
    ours = os.readlink("/proc/self/ns/pid")
    parents: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.readlink(entry / "ns/pid") == ours:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)] = int(fields[1])
    found = {daemon}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return sorted(found)


@pytest.mark.parametrize("attached", [False, True])
def test_no_byte_is_lost_and_nothing_grows(daemon: Daemon, busybox: str, attached: bool) -> None:
    name = f"much-{attached}".lower()
    options = ("--name", name, "--log-opt", "max-size=1g", "--network", "none", busybox)
    with peaks(lambda: descendants(daemon.pid)) as seen:
        if attached:
            with daemon.spawn("run", *options, "sh", "-c", SCRIPT) as running:
                assert running.communicate()[0] == (LINE + b"\n") * LINES
                assert running.returncode == 0
        else:
            daemon.docker("run", "-d", *options, "sh", "-c", SCRIPT)
            daemon.docker("wait", name)
        with daemon.spawn("logs", name) as reading:
            assert reading.communicate()[0] == (LINE + b"\n") * LINES
    daemon.docker("rm", name)
    assert daemon.pid in seen
    # A shim is measured from its first breath, when it shares all of its memory with the spawner.
    assert {pid: grown for pid, grown in seen.items() if grown[1] - grown[0] > MOST_GROWTH_KB} == {}
