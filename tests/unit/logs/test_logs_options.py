from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.logs import select
from tiffin.logs.attributes import LogSubject, attributes
from tiffin.logs.options import FileOptions, parse
from tiffin.logs.times import fixed_width, format_time, parse_time


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("json-file", {"x": "1"}, "unknown log opt 'x' for json-file log driver"),
        ("fluentd2", {}, "logger: no log driver named 'fluentd2' is registered"),
        ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
        ("json-file", {"max-file": "two"}, "max-file"),
        ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
        ("json-file", {"max-size": "big"}, "max-size"),
        ("json-file", {"compress": "perhaps"}, "compress"),
        ("json-file", {"compress": "true", "max-file": "1"}, "compress cannot be true"),
        ("json-file", {"mode": "odd"}, "logging mode not supported: odd"),
        ("json-file", {"max-buffer-size": "1m"}, "max-buffer-size option is only supported"),
    ],
)
def test_bad_options_are_refused(driver: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        select.validate(driver, options)


def test_rotation_is_on_by_default() -> None:
    assert parse("json-file", {}) == FileOptions(20_000_000, 5, compress=False)
    assert parse("local", {}) == FileOptions(20_000_000, 5, compress=True)
    assert parse("json-file", {"max-size": "-1"}).max_size == 0
    assert parse("json-file", {"max-size": "10m", "max-file": "2", "compress": "true"}) == (
        FileOptions(10_000_000, 2, compress=True)
    )


def test_none_keeps_nothing_and_cannot_be_read(tmp_path: Path) -> None:
    driver = select.writer("none", tmp_path, {})
    driver.write("stdout", b"x\n", 1)
    driver.close()
    assert list(tmp_path.iterdir()) == []
    assert select.log_file("none", tmp_path) is None
    with pytest.raises(FailedPrecondition, match="does not support reading"):
        select.reader("none", tmp_path)


def test_attributes_come_from_labels_environment_and_tag() -> None:
    subject = LogSubject(
        id="0123456789abcdef",
        name="/web",
        image_name="app:1",
        labels={"team": "a", "tier.x": "b", "other": "c"},
        env=("A=1", "B_X=2", "C=3"),
    )
    options = {
        "labels": "team,absent",
        "labels-regex": "^tier",
        "env": "A",
        "env-regex": "_X$",
        "tag": "{{.Name}}/{{.ID}} {{ .ImageName }}",
    }
    assert attributes(options, subject) == {
        "team": "a",
        "tier.x": "b",
        "A": "1",
        "B_X": "2",
        "tag": "web/0123456789ab app:1",
    }
    with pytest.raises(InvalidArgument, match=r"log-tag:1:2: .*Nope"):
        attributes({"tag": "{{.Nope}}"}, subject)
    with pytest.raises(InvalidArgument, match="error parsing regexp"):
        attributes({"env-regex": "("}, subject)


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_times_round_trip(time_ns: int) -> None:
    text = format_time(time_ns)
    assert parse_time(text) == time_ns
    assert parse_time(fixed_width(text)) == time_ns
    assert len(fixed_width(text)) == 30
