import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.root.shim.shim_rig import Rig, make_rootfs

from tiffin.engine.roots import Roots
from tiffin.engine.tasks.service import STANDING_GROUP
from tiffin.linux.cgroups.hierarchy import open_group


@pytest.fixture(scope="session")
def shim_rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_rootfs(tmp_path_factory.mktemp("shim") / "rootfs")


@pytest.fixture
def rig(tmp_path: Path, shim_rootfs: Path) -> Iterator[Rig]:
    """A rig; after the test no descriptor, process, cgroup or task directory may be left."""
    assert os.geteuid() == 0, "these tests need root"
    descriptors = set(os.listdir("/proc/self/fd"))
    made = Rig(tmp_path, shim_rootfs, Roots(tmp_path / "data", tmp_path / "exec"))
    yield made
    for client in made.clients:
        client.close()
    # Spare shims end by themselves when they notice that the spawner has.
    deadline = time.monotonic() + 10
    while made.processes() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert made.processes() == []
    assert made.cgroups() == []
    open_group(f"/{made.roots.tag}/{STANDING_GROUP}").remove()  # of a daemon that was killed
    assert not made.roots.tasks.exists() or list(made.roots.tasks.iterdir()) == []
    assert set(os.listdir("/proc/self/fd")) <= descriptors
