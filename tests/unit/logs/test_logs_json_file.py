import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiffin.logs import select
from tiffin.logs.driver import LogFormat, LogQuery, LogRecord
from tiffin.logs.json_format import PARTIAL_SIZE
from tiffin.wire import stdcopy

NOW = 1_700_000_000_123_456_700
UNLIMITED = {"max-size": "-1"}
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
nasty = st.sampled_from(
    ['"', "\\", "\\n", "\n", "\t", "\x1b[1m", "\x00", "é", "😀", "</>&", "\r\n"]
)
output = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.lists(text | nasty, max_size=8).map(lambda parts: "".join(parts).encode()),
    ),
    max_size=12,
)
shared_directory = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(directory: Path, parts: list[tuple[str, bytes]], **options: str) -> None:
    driver = select.writer("json-file", directory, {**UNLIMITED, **options})
    for number, (stream, data) in enumerate(parts):
        driver.write(stream, data, NOW + number * 1_000_000_000)
    driver.close()


def read(directory: Path, query: LogQuery = LogQuery()) -> list[LogRecord]:  # noqa: B008
    return list(select.reader("json-file", directory).read(query))


def streamed(directory: Path, query: LogQuery, form: LogFormat) -> dict[int, bytes]:
    decoder = stdcopy.Decoder()
    found = {stdcopy.STDOUT: b"", stdcopy.STDERR: b""}
    for portion in select.reader("json-file", directory).stream(query, form):
        assert portion is not None
        for piece in decoder.feed(portion):
            found[piece.stream] += piece.data
    return found


def fresh(directory: Path) -> Path:
    select.remove("json-file", directory)
    return directory


@shared_directory
@given(output)
def test_what_is_written_is_read_back(tmp_path: Path, parts: list[tuple[str, bytes]]) -> None:
    write(fresh(tmp_path), parts)
    for line in (tmp_path / "json.log").read_bytes().splitlines():
        record = json.loads(line)
        assert set(record) == {"log", "stream", "time"}
    records = read(tmp_path)
    both = streamed(tmp_path, LogQuery(), LogFormat())
    for stream, number in (("stdout", 1), ("stderr", 2)):
        whole = b"".join(data for name, data in parts if name == stream)
        assert b"".join(r.line for r in records if r.stream == stream) == whole
        assert both[number] == whole


@shared_directory
@given(st.binary(max_size=2000))
def test_malformed_utf8_is_replaced(tmp_path: Path, data: bytes) -> None:
    write(fresh(tmp_path), [("stdout", data + b"\n")])
    assert b"".join(r.line for r in read(tmp_path)).decode() == (data + b"\n").decode(
        errors="replace"
    )


def test_a_record_is_dockers(tmp_path: Path) -> None:
    write(tmp_path, [("stdout", b'say "hi"\n')])
    assert (tmp_path / "json.log").read_bytes() == (
        b'{"log":"say \\"hi\\"\\n","stream":"stdout","time":"2023-11-14T22:13:20.1234567Z"}\n'
    )


def test_attributes_are_in_each_record(tmp_path: Path) -> None:
    driver = select.writer("json-file", tmp_path, {}, {"b": "2 x", "a": '"'})
    driver.write("stdout", b"one\n", NOW)
    driver.close()
    (record,) = read(tmp_path)
    assert record.attributes == {"b": "2 x", "a": '"'}
    (portion,) = select.reader("json-file", tmp_path).stream(
        LogQuery(), LogFormat(framed=False, timestamps=True, details=True)
    )
    assert portion == b"2023-11-14T22:13:20.123456700Z a=%22,b=2+x one\n"


@pytest.mark.parametrize("size", [PARTIAL_SIZE - 1, PARTIAL_SIZE, PARTIAL_SIZE * 3 + 7])
@pytest.mark.parametrize("character", ["x", "é", "😀"])
def test_long_lines_are_cut_between_characters(tmp_path: Path, size: int, character: str) -> None:
    line = ("a" + character * size).encode() + b"\n"
    write(tmp_path, [("stdout", b"short\n" + line + b"end\n")])
    records = read(tmp_path)
    assert b"".join(r.line for r in records) == b"short\n" + line + b"end\n"
    assert all(len(r.line) <= PARTIAL_SIZE for r in records)
    assert [r.line.endswith(b"\n") for r in records] == [not r.partial for r in records]
    assert len(records) >= 2 + len(line) // PARTIAL_SIZE


def test_a_line_in_portions_is_one_record(tmp_path: Path) -> None:
    write(tmp_path, [("stdout", b"a"), ("stderr", b"x\n"), ("stdout", b"b\nrest")])
    assert [(r.stream, r.line, r.partial) for r in read(tmp_path)] == [
        ("stderr", b"x\n", False),
        ("stdout", b"ab\n", False),
        ("stdout", b"rest", True),
    ]


def test_since_until_tail_and_streams(tmp_path: Path) -> None:
    write(tmp_path, [(("stdout", "stderr")[n % 2], b"%d\n" % n) for n in range(10)])

    def lines(query: LogQuery) -> list[int]:
        found = [int(r.line) for r in read(tmp_path, query)]
        both = streamed(tmp_path, query, LogFormat())
        assert sorted(int(n) for s in both.values() for n in s.split()) == found
        return found

    assert lines(LogQuery(since_ns=NOW + 7_000_000_000)) == [7, 8, 9]
    assert lines(LogQuery(until_ns=NOW + 2_000_000_000)) == [0, 1, 2]
    assert lines(LogQuery(tail=3)) == [7, 8, 9]
    assert lines(LogQuery(tail=0)) == []
    assert lines(LogQuery(tail=99)) == list(range(10))
    assert lines(LogQuery(stdout=False)) == [1, 3, 5, 7, 9]
    assert lines(LogQuery(tail=4, stderr=False)) == [6, 8]


def test_times_are_printed_in_full(tmp_path: Path) -> None:
    write(tmp_path, [("stdout", b"a\nb\n")])
    found = streamed(tmp_path, LogQuery(), LogFormat(timestamps=True))
    stamp = b"2023-11-14T22:13:20.123456700Z "
    assert found[1] == stamp + b"a\n" + stamp + b"b\n"


def test_other_layouts_and_torn_records_are_coped_with(tmp_path: Path) -> None:
    (tmp_path / "json.log").write_bytes(
        b'{"stream":"stderr", "time":"2023-11-14T22:13:20Z", "log":"spaced \\u00e9\\n"}\n'
        b'{"log":"torn'
    )
    write(tmp_path, [("stdout", b"next\n")])
    assert [r.line for r in read(tmp_path)] == ["spaced é\n".encode(), b"next\n"]
    assert streamed(tmp_path, LogQuery(), LogFormat()) == {
        1: b"next\n",
        2: "spaced é\n".encode(),
    }


def test_an_absent_log_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "nothing") == []


def test_each_line_goes_out_in_a_frame_of_its_own(tmp_path: Path) -> None:
    parts = [("stdout", b"hello\nworld\n\n"), ("stderr", b"no\n"), ("stdout", b"end")]
    write(tmp_path, parts)
    query, form = LogQuery(), LogFormat(framed=True, timestamps=False, details=False)
    sent = b"".join(filter(None, select.reader("json-file", tmp_path).stream(query, form)))
    lines = [(1, b"hello\n"), (1, b"world\n"), (1, b"\n"), (2, b"no\n"), (1, b"end")]
    assert sent == b"".join(stdcopy.frame(stream, line) for stream, line in lines)


def test_time_stands_before_lines_not_inside_them(tmp_path: Path) -> None:
    long = b"x" * (3 * PARTIAL_SIZE + 5)
    write(tmp_path, [("stdout", long + b"\nshort\n"), ("stderr", b"e\n"), ("stdout", b"open")])
    write(tmp_path, [("stdout", b"next run\n")])
    form = LogFormat(timestamps=True, details=True)
    out = streamed(tmp_path, LogQuery(), form)[stdcopy.STDOUT]
    at = b"2023-11-14T22:13:20.123456700Z  "
    first, second, third, _end = out.split(b"\n")
    assert (first, second) == (at + long, at + b"short")
    opened, _, rest = third.partition(b"open")
    assert len(opened) == len(at)
    assert rest == at + b"next run"
