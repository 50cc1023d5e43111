"""Sizes, ages, times, tables and Go's view of JSON."""

import io
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.cli import human
from tiffin.cli.flags import parse_duration, parse_size
from tiffin.cli.table import Lookup, Row, align, print_objects, print_rows
from tiffin.cli.timestamps import unix_time
from tiffin.spec.durations import in_words
from tiffin.wire.gotypes import from_json
from tiffin.wire.template import Template
from tiffin.wire.template_error import TemplateError
from tiffin.wire.template_functions import to_json


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1984000, "1.984MB"), (74_800_000, "74.8MB"),
     (999_999, "1000kB"), (1 << 62, "4.612EB")],
)  # fmt: skip
def test_sizes(value: int, text: str) -> None:
    assert human.size(value) == text


@given(st.integers(0, 10**21))
def test_sizes_are_never_far_off(value: int) -> None:
    text = human.size(value)
    match = re.fullmatch(r"([\d.e+]+)([kMGTPE]?)B", text)
    assert match
    shown = float(match[1]) * 1000 ** " kMGTPE".index(match[2] or " ")
    assert abs(shown - value) <= value * 0.0006


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"),
     (119, "About a minute"), (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"),
     (7200, "2 hours"), (47 * 3600, "47 hours"), (48 * 3600, "2 days"), (13 * 86400, "13 days"),
     (14 * 86400, "2 weeks"), (60 * 86400, "2 months"), (729 * 86400, "24 months"),
     (730 * 86400, "2 years")],
)  # fmt: skip
def test_ages(seconds: float, text: str) -> None:
    assert in_words(seconds) == text


@given(st.floats(0, 1e11), st.floats(0, 1e9))
def test_ages_always_have_words(seconds: float, more: float) -> None:
    assert re.fullmatch(r"(Less than a|About an?|\d+) [a-z]+", in_words(seconds + more))


@given(st.integers(0, 10**6), st.sampled_from(["", "b", "k", "K", "kb", "m", "MiB", "g", "t"]))
def test_sizes_are_parsed(number: int, unit: str) -> None:
    factor = 1024 ** " kmgt".index((unit.lower().rstrip("b").rstrip("i") or " ")[0])
    assert parse_size(f"{number}{unit}") == number * factor


@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_durations_are_parsed(hours: int, minutes: int, seconds: int, milli: int) -> None:
    total = ((hours * 60 + minutes) * 60 + seconds) * 10**9 + milli * 10**6
    assert parse_duration(f"{hours}h{minutes}m{seconds}s{milli}ms") == total


@pytest.mark.parametrize("text", ["", "1", "1x", "h", "1h 2m", "--1s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)


def test_times_of_logs() -> None:
    now = 1_700_000_000 * 10**9 + 5
    assert unix_time("") == ""
    assert unix_time("12.5") == "12.5"
    assert unix_time("10m", now) == "1699999400.000000005"
    assert unix_time("2023-11-14T22:13:20Z") == "1700000000.000000000"
    assert unix_time("2023-11-14T22:13:20.25+00:00") == "1700000000.250000000"
    assert unix_time("2023-11-15T00:13:20+02:00") == "1700000000.000000000"
    midnight = int(time.mktime((2023, 11, 14, 0, 0, 0, 0, 0, -1)))
    assert unix_time("2023-11-14") == f"{midnight}.000000000"
    for text in ("nope", "2023-13-01", "2023-11-14T25:00:00Z"):
        with pytest.raises(
            ValueError, match=f'failed to parse value as time or duration: "{text}"'
        ):
            unix_time(text)


def test_go_times() -> None:
    assert human.go_time("2024-05-01T10:00:00.5Z") == "2024-05-01 10:00:00.5 +0000 UTC"
    assert human.go_time("2024-05-01T10:00:00+02:00") == "2024-05-01 10:00:00 +0200 +0200"
    assert human.parse_time("0001-01-01T00:00:00Z") == 0.0
    assert human.parse_time("1970-01-01T00:00:10.123456789Z") == pytest.approx(10.123456)


ROWS = [
    Row({"ID": "abc", "Name": lambda: "one", "Labels": "a=b", "Label": Lookup({"a.b": "c"})}),
    Row({"ID": "d", "Name": "<two>", "Labels": "", "Label": Lookup(None)}),
]


@pytest.mark.parametrize(
    ("format_text", "text"),
    [
        ("", "IDENTIFIER   NAME\nabc          one\nd            <two>\n"),
        ("table", "IDENTIFIER   NAME\nabc          one\nd            <two>\n"),
        (r"table {{.Name}}\t{{.ID}}", "NAME      IDENTIFIER\none       abc\n<two>     d\n"),
        ('table {{.Label "a.b"}}', "b\nc\n\n"),
        ("table {{truncate .Name 2}}", "NAME\non\n<t\n"),
        ("{{.ID}}:{{.Name}}", "abc:one\nd:<two>\n"),
        ("raw", "id: abc\nname: one\n\nid: d\nname: <two>\n\n"),
        (
            "json",
            '{"ID":"abc","Labels":"a=b","Name":"one"}\n{"ID":"d","Labels":"","Name":"\\u003ctwo\\u003e"}\n',
        ),
    ],
)  # fmt: skip
def test_formats_of_listings(format_text: str, text: str) -> None:
    out = io.StringIO()
    print_rows(ROWS, format_text=format_text, default=r"table {{.ID}}\t{{.Name}}",
               headers={"ID": "IDENTIFIER"}, out=out, raw="id:ID name:Name")  # fmt: skip
    assert out.getvalue() == text


def test_a_row_without_the_field() -> None:
    with pytest.raises(TemplateError, match="can't evaluate field Nope"):
        print_rows(ROWS, format_text="{{.Nope}}", default="", headers={}, out=io.StringIO())


@given(st.lists(st.lists(st.text("abc… ", max_size=20), min_size=3, max_size=3), min_size=1))
def test_columns_are_aligned(cells: list[list[str]]) -> None:
    lines = align(cells)
    starts = [max(10, *(len(line[0]) + 3 for line in cells))]
    starts.append(starts[0] + max(10, *(len(line[1]) + 3 for line in cells)))
    for line, text in zip(cells, lines, strict=True):
        assert text[starts[0] :].startswith(line[1])
        assert text[starts[1] :] == line[2]


INSPECTED = {
    "Name": "/web",
    "State": {"Status": "exited", "Pid": 0},
    "Config": {"Labels": {"a": "b"}, "Entrypoint": None, "Env": ["A=b"]},
    "HostConfig": {"CapAdd": None, "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "1"}]}},
    "NetworkSettings": {"Ports": {"80/tcp": None}},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Config.Labels}} {{.Config.Env}} {{.Config.Entrypoint}}", "map[a:b] [A=b] []"),
        ("{{.Config.Labels.none}}", "<no value>"),
        ('{{index .Config.Labels "none"}}', ""),
        ("{{.HostConfig.PortBindings}}", "map[80/tcp:[{ 1}]]"),
        ("{{.NetworkSettings.Ports}}", "map[80/tcp:[]]"),
        ("{{if .State.Health}}yes{{else}}no{{end}} {{.State.Health}}", "no <nil>"),
        ("{{json .HostConfig.CapAdd}} {{len .HostConfig.CapAdd}}", "null 0"),
        ("{{range .HostConfig.CapAdd}}x{{else}}none{{end}}", "none"),
        ("{{.State}}", "{exited 0}"),
        ("{{json .State}}", '{"Status":"exited","Pid":0}'),
    ],
)
def test_inspected_objects_print_as_go_prints_them(template: str, text: str) -> None:
    assert Template(template).render(from_json(INSPECTED)) == text


def test_objects_as_json() -> None:
    out = io.StringIO()
    print_objects([{"a": "<"}, {}], "json", out)
    print_objects([{"a": 1}], "", out)
    assert out.getvalue() == '[{"a":"\\u003c"},{}]\n[\n    {\n        "a": 1\n    }\n]\n'


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)  # fmt: skip


@given(json_values)
def test_any_json_stays_the_same_json(value: object) -> None:
    assert to_json(from_json(value)) == to_json(value)
