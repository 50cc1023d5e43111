"""Lines of progress."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.wire.jsonmessage import JsonMessage, human_size, progress, progress_text, status


def test_lines() -> None:
    assert status("x").to_json() == {"status": "x"}
    assert status("x", "l").to_json() == {"status": "x", "progressDetail": {}, "id": "l"}
    line = progress("Downloading", "l", 500, 1000).to_json()
    assert line["progressDetail"] == {"current": 500, "total": 1000}
    assert line["progress"] == f"[{'=' * 25}>{' ' * 24}]     500B/1kB"
    assert JsonMessage(error="e").to_json() == {"errorDetail": {"message": "e"}, "error": "e"}
    assert JsonMessage(aux={"a": 1}, has_progress=True).to_json() == {
        "progressDetail": {}, "aux": {"a": 1},
    }  # fmt: skip
    assert JsonMessage(stream="s\n").to_json() == {"stream": "s\n"}


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (2_097_152, "2.097MB"), (10**12, "1TB")],
)
def test_sizes(size: int, text: str) -> None:
    assert human_size(size) == text


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_a_bar_has_always_the_same_width(current: int, total: int) -> None:
    text = progress_text(current, total)
    if total > 0 and current <= total:
        assert text.index("]") == 51
