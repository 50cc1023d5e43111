"""Progress on terminals and pipes, attached sessions, detach keys."""

import io
import os
import socket
import struct
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.cli import progress, terminal
from tiffin.cli.command import CommandFailed
from tiffin.cli.flags import UsageError
from tiffin.cli.session import Session, parse_detach_keys

MESSAGES: list[dict[str, object]] = [
    {"status": "Pulling from x", "id": "latest"},
    {"status": "Downloading", "id": "aaa", "progressDetail": {"current": 50, "total": 100}},
    {"status": "Downloading", "id": "bbb", "progressDetail": {"current": 1000}},
    {"status": "Pull complete", "id": "aaa", "progressDetail": {}},
    {"status": "Done"},
]


class Out(io.StringIO):
    def fileno(self) -> int:
        return 1


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A terminal of so many columns; 0 for none."""
    columns = [0]
    monkeypatch.setattr(terminal, "is_terminal", lambda _fd: columns[0] > 0)
    monkeypatch.setattr(terminal, "size", lambda _fd=1: (24, columns[0]))
    return columns


def screen(text: str) -> list[str]:
    """What a terminal shows in the end: only the sequences that progress uses."""
    lines, row = [""], 0
    position = 0
    while position < len(text):
        if text.startswith("\x1b[", position):
            end = next(i for i in range(position + 2, len(text)) if text[i].isalpha())
            count, letter = int(text[position + 2 : end]), text[end]
            if letter == "A":
                row -= count
            elif letter == "B":
                row += count
            else:
                lines[row] = ""
            position = end + 1
            continue
        if text[position] == "\n":
            row += 1
            lines.extend([""] * (row + 1 - len(lines)))
        elif text[position] != "\r":
            lines[row] += text[position]
        position += 1
    return lines


def shown(messages: list[dict[str, object]]) -> str:
    out = Out()
    progress.show(messages, out)
    return out.getvalue()


@pytest.mark.usefixtures("width")
def test_pipes_get_plain_lines() -> None:
    assert shown(MESSAGES) == "latest: Pulling from x\naaa: Pull complete\nDone\n"


def test_lines_move_on_a_terminal(width: list[int]) -> None:
    width[0] = 80
    assert screen(shown(MESSAGES)) == [
        "latest: Pulling from x", "aaa: Pull complete", "bbb: Downloading      1kB", "Done", "",
    ]  # fmt: skip


def test_wide_terminals_have_bars(width: list[int]) -> None:
    width[0] = 130
    line = screen(shown(MESSAGES[:3]))[1]
    assert line == f"aaa: Downloading [{'=' * 25}>{' ' * 25}]      50B/100B"


@given(columns=st.integers(1, 150), current=st.integers(0, 10**9), total=st.integers(0, 10**9))
def test_no_line_is_wider_than_the_terminal(columns: int, current: int, total: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "is_terminal", lambda _fd: True)
        patch.setattr(terminal, "size", lambda _fd=1: (24, columns))
        detail = {"current": current, "total": total}
        text = shown([{"status": "Extracting", "id": "abcdef", "progressDetail": detail}])
    assert all(len(line) <= columns for line in screen(text))


@pytest.mark.usefixtures("width")
def test_errors_end_the_stream() -> None:
    with pytest.raises(CommandFailed, match="manifest unknown"):
        shown([{"status": "x"}, {"errorDetail": {"message": "manifest unknown"}, "error": "old"}])


def detacher(keys: bytes) -> Session:
    ours, theirs = socket.socketpair()
    theirs.close()
    ours.close()
    return Session(ours, b"", framed=False, detach_keys=keys)


@given(data=st.lists(st.binary(max_size=6), max_size=8), keys=st.binary(min_size=1, max_size=3))
def test_detach_keys_are_found_however_the_input_is_cut(data: list[bytes], keys: bytes) -> None:
    whole = b"".join(data)
    session = detacher(keys)
    passed = b""
    for piece in data:
        passed += session._without_detach_keys(piece)
        if session.detached:
            break
    if session.detached:
        assert keys in whole
        assert whole.startswith(passed + keys)
    else:
        assert keys not in whole
        assert whole.startswith(passed)
        assert len(whole) - len(passed) < len(keys)


@pytest.mark.parametrize(
    ("text", "keys"),
    [("ctrl-p,ctrl-q", b"\x10\x11"), ("a", b"a"), ("ctrl-a,x", b"\x01x"), ("ctrl-@", b"\0"),
     ("ctrl-[", b"\x1b")],
)  # fmt: skip
def test_names_of_keys(text: str, keys: bytes) -> None:
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-é", "ctrl-", "foo", "ctrl-aa"])
def test_names_of_no_keys(text: str) -> None:
    with pytest.raises(UsageError, match="invalid detach keys"):
        parse_detach_keys(text)


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxI", stream, len(data)) + data


def test_a_session_carries_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte each way through a peer that is slow to read, then the end of input."""
    data = os.urandom(1 << 20)
    ours, theirs = socket.socketpair()
    source, sink = os.pipe()
    received = bytearray()
    seen: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}

    def peer() -> None:
        theirs.sendall(frame(1, b"x" * 100_000) + frame(2, b"y" * 5))
        while block := theirs.recv(4096):
            received.extend(block)
        theirs.sendall(frame(1, b"end"))
        theirs.close()

    def typist() -> None:
        with os.fdopen(sink, "wb") as file:
            file.write(data)

    def writer(descriptor: int) -> object:
        return seen[descriptor].extend

    monkeypatch.setattr("tiffin.cli.session._writer", writer)
    threads = [threading.Thread(target=peer), threading.Thread(target=typist)]
    for thread in threads:
        thread.start()
    with os.fdopen(source) as stdin, ours:
        monkeypatch.setattr("sys.stdin", stdin)
        Session(ours, frame(2, b"early"), framed=True).pump(stdin=True)
    for thread in threads:
        thread.join()
    assert bytes(received) == data
    assert bytes(seen[1]) == b"x" * 100_000 + b"end"
    assert bytes(seen[2]) == b"earlyyyyyy"
