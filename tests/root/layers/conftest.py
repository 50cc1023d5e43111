import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def nothing_leaks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No descriptor, mount or thread is left by a test."""
    ours = str(tmp_path_factory.getbasetemp())

    def state() -> tuple[set[str], list[str], int]:
        table = Path("/proc/self/mountinfo").read_text().splitlines()
        mounts = [line for line in table if ours in line]
        return set(os.listdir("/proc/self/fd")), mounts, threading.active_count()

    assert os.geteuid() == 0, "these tests need root"
    gc.collect()  # what an earlier test dropped in a cycle may not go during this one
    before = state()
    yield
    assert state() == before
