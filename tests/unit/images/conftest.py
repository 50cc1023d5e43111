from collections.abc import Iterator
from pathlib import Path

import pytest

from tiffin.testing.image_lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path / "lab")
    yield lab
    lab.close()
