import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.spec.durations import in_go, parse_duration


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (50_000_000, "50ms"),
        (1_000_000_000, "1s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (3_661_500_000_000, "1h1m1.5s"),
    ],
)
def test_spans_in_go(nanoseconds: int, text: str) -> None:
    assert in_go(nanoseconds) == text


@given(st.integers(0, 2**50))
def test_spans_in_go_can_be_read_back(nanoseconds: int) -> None:
    assert parse_duration(in_go(nanoseconds)) == nanoseconds
