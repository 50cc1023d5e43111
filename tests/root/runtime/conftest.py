"""Each test gets a rig of its own, and must leave nothing behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.root.runtime.runtime_rig import Rig, leftovers

from tiffin.linux.cgroups.layout import detect

# On v2 a child is born in its group, so that none is made before that is known.
collect_ignore = [] if detect().version == 1 else ["test_runtime_spare.py"]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    tag = f"tfrt{os.getpid()}"
    before = leftovers(tmp_path, tag)
    assert before["cgroups"] == []
    yield Rig(tmp_path, tag)
    after = leftovers(tmp_path, tag)
    assert after == before
