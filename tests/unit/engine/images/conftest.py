from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiffin.testing.fake_registry import FakeRegistry
from tiffin.testing.image_lab import ServiceLab


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[ServiceLab]:
    lab = ServiceLab(tmp_path / "lab")
    yield lab
    lab.close()


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as registry:
        yield registry
