"""A rig per test, with a check that nothing is left behind."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.root.build.build_rig import Rig, make_rig


def _mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def _descriptors() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found[name] = os.readlink(f"/proc/self/fd/{name}")
    return found


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = make_rig(tmp_path / "engine")
    made.add_base("base:1")
    mounts, descriptors = _mounts(), _descriptors()
    yield made
    assert made.leftovers() == []
    assert [line for line in _mounts() if str(tmp_path) in line] == []
    assert len(_mounts()) == len(mounts)
    now = _descriptors().items()
    assert [each for each in now - descriptors.items() if each[1].startswith(str(tmp_path))] == []
    made.close()
