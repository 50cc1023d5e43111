"""Records that were written together, between others: read by the quick way and one by one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.logs.driver import LogFormat, LogQuery
from tiffin.logs.json_file import open_driver
from tiffin.logs.json_reader import JsonFileReader

_line = st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"\\n"))
_batch = st.tuples(
    st.sampled_from(["stdout", "stderr"]),
    st.lists(_line, min_size=1, max_size=25).map(lambda lines: b"\n".join(lines) + b"\n"),
)


@given(
    batches=st.lists(_batch, max_size=6),
    foreign=st.sampled_from([b"", b"torn\n", b'{"stream":"stdout","log":"x\\n","time":"t"}\n']),
)
def test_batches(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[tuple[str, bytes]],
    foreign: bytes,
) -> None:
    path = tmp_path_factory.mktemp("log") / "json.log"
    driver = open_driver(path, max_size=0, max_files=1, compress=False)
    for number, (stream, data) in enumerate(batches):
        driver.write(stream, data, 1_700_000_000_000_000_000 + number)
        with Path(path).open("ab") as file:
            file.write(foreign)
    driver.close()
    reader = JsonFileReader(path)
    for stdout, stderr in ((True, True), (True, False), (False, True)):
        query = LogQuery(stdout=stdout, stderr=stderr)
        one_by_one = b"".join(record.line for record in reader.read(query))
        quick = b"".join(filter(None, reader.stream(query, LogFormat(framed=False))))
        assert quick == one_by_one
