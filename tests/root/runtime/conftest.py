"""Each test gets a rig of its own, and must leave nothing behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.root.runtime.runtime_rig import Rig, leftovers


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    tag = f"tfrt{os.getpid()}"
    before = leftovers(tmp_path, tag)
    assert before["cgroups"] == []
    yield Rig(tmp_path, tag)
    after = leftovers(tmp_path, tag)
    assert after == before
