import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.logs import select
from tiffin.logs.driver import LogDriver, LogQuery, LogRecord
from tiffin.logs.files import blocks
from tiffin.logs.rotation import RotatingFile


def writer(directory: Path, **options: str) -> LogDriver:
    return select.writer(
        "json-file", directory, {name.replace("_", "-"): value for name, value in options.items()}
    )


def numbers(records: Iterator[LogRecord]) -> list[int]:
    return [int(record.line) for record in records]


def taken(follower: Iterator[LogRecord | None]) -> list[int]:
    """What is there until the follower says that there is nothing now."""
    found: list[int] = []
    for record in follower:
        if record is None:
            return found
        found.append(int(record.line))
    return found


def write(driver: LogDriver, *values: int) -> None:
    for value in values:
        driver.write("stdout", b"%d\n" % value, 1)


@pytest.mark.parametrize("compress", ["false", "true"])
def test_the_newest_files_are_kept_and_read_in_order(tmp_path: Path, compress: str) -> None:
    driver = writer(tmp_path, max_size="1k", max_file="3", compress=compress)
    write(driver, *range(200))
    driver.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    end = ".gz" if compress == "true" else ""
    assert names == ["json.log", f"json.log.1{end}", f"json.log.2{end}"]
    found = numbers(select.reader("json-file", tmp_path).read(LogQuery()))
    assert found == list(range(found[0], 200))
    assert 30 < len(found) < 60
    for tail in (0, 1, 5, 20, 30):
        query = LogQuery(tail=tail)
        assert numbers(select.reader("json-file", tmp_path).read(query)) == found[-tail or 200 :]


def test_files_stay_within_the_size_and_one_record(tmp_path: Path) -> None:
    driver = writer(tmp_path, max_size="1k", max_file="9")
    driver.write("stdout", b"".join(b"%d\n" % n for n in range(100)), 1)
    driver.close()
    assert all(path.stat().st_size < 1100 for path in tmp_path.iterdir())
    assert numbers(select.reader("json-file", tmp_path).read(LogQuery())) == list(range(100))


def test_a_single_file_is_truncated(tmp_path: Path) -> None:
    driver = writer(tmp_path, max_size="1k", max_file="1")
    follower = select.reader("json-file", tmp_path).follow(LogQuery())
    write(driver, *range(10))
    assert taken(follower) == list(range(10))
    write(driver, *range(10, 23))
    driver.close()
    assert [path.name for path in tmp_path.iterdir()] == ["json.log"]
    assert taken(follower)[-1] == 22


def test_following_begins_before_the_file(tmp_path: Path) -> None:
    follower = select.reader("json-file", tmp_path).follow(LogQuery())
    assert taken(follower) == []
    driver = writer(tmp_path)
    write(driver, 1)
    assert taken(follower) == [1]
    driver.write("stdout", b"2", 1)
    assert taken(follower) == []
    driver.write("stdout", b"\n", 1)
    assert taken(follower) == [2]
    driver.close()


def test_following_with_a_tail(tmp_path: Path) -> None:
    driver = writer(tmp_path)
    write(driver, *range(10))
    follower = select.reader("json-file", tmp_path).follow(LogQuery(tail=2))
    assert taken(follower) == [8, 9]
    write(driver, 10)
    assert taken(follower) == [10]
    driver.close()


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=12))
def test_a_follower_survives_rotation(
    tmp_path_factory: pytest.TempPathFactory, bursts: list[int]
) -> None:
    directory = tmp_path_factory.mktemp("log")
    driver = writer(directory, max_size="1k", max_file="20")
    follower = select.reader("json-file", directory).follow(LogQuery())
    count = 0
    found: list[int] = []
    for burst in bursts:
        write(driver, *range(count, count + burst))
        count += burst
        found += taken(follower)
    assert found == list(range(count))
    driver.close()


def test_descriptors_are_closed(tmp_path: Path) -> None:
    driver = writer(tmp_path, max_size="1k", max_file="3")
    write(driver, *range(60))
    driver.close()
    before = len(os.listdir("/proc/self/fd"))
    follower = blocks(tmp_path / "json.log", follow=True)
    next(follower)
    follower.close()  # type: ignore[attr-defined]
    reading = blocks(tmp_path / "json.log")
    next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_leaves_whole_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RotatingFile(tmp_path / "log")
    file.write([b"whole\n"])
    real = os.write

    def write(fd: int, data: bytes) -> int:
        monkeypatch.setattr(os, "write", refuse)
        return real(fd, bytes(data)[:2])

    def refuse(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "writev", lambda fd, parts: write(fd, b"".join(parts)))
    with pytest.raises(OSError, match="No space"):
        file.write([b"torn\n"])
    monkeypatch.undo()
    file.write([b"next\n"])
    file.close()
    assert (tmp_path / "log").read_bytes() == b"whole\nnext\n"
