"""RFC 3339 to nanoseconds and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.spec.times import format_time, parse_time

NOON_NS = 1_714_564_800 * 10**9


@given(st.integers(min_value=0, max_value=253_402_300_799 * 10**9))
def test_round_trip(time_ns: int) -> None:
    assert parse_time(format_time(time_ns)) == time_ns


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("2024-05-01T12:00:00Z", NOON_NS),
        ("2024-05-01t14:00:00.5+02:00", NOON_NS + 5 * 10**8),
        ("2024-05-01 11:00-0100", NOON_NS),
        ("2024-05-01", NOON_NS - 12 * 3600 * 10**9),
        ("2024-05-01T12:00:00.1234567891Z", NOON_NS + 123_456_789),
        ("1969-12-31T23:59:59.5Z", -5 * 10**8),
    ],
)
def test_what_may_be_left_out(text: str, time_ns: int) -> None:
    assert parse_time(text) == time_ns


@given(
    st.text(max_size=30) | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", fullmatch=True)
)
def test_anything_else_is_a_value_error(text: str) -> None:
    try:
        parse_time(text)
    except ValueError:
        return
