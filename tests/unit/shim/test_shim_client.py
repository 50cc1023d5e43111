"""Clients and their backlogs: order, bounds, spilling."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin.shim import spill
from tiffin.shim.client import Client
from tiffin.shim.loop import Loop
from tiffin.shim.protocol import ClientOptions
from tiffin.shim.spill import Backlog
from tiffin.wire import stdcopy


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=3000), st.booleans(), st.booleans())),
)
def test_order_is_kept_whatever_spills(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bytes, bool, bool]]
) -> None:
    ours, theirs = socket.socketpair()
    received = bytearray()
    with pytest.MonkeyPatch.context() as patch, ours, theirs:
        patch.setattr(spill, "MEMORY_LIMIT", 2000)
        ours.setblocking(False)
        theirs.setblocking(False)
        backlog = Backlog(str(tmp_path_factory.getbasetemp()))
        sent = b"".join(data for data, _spills, _flush in steps)
        for data, spills, flush in steps:
            backlog.append(data, spill=spills)
            if flush:
                backlog.send_to(ours)
        while backlog or len(received) < len(sent):
            backlog.send_to(ours)
            received += theirs.recv(1 << 20)
        assert bytes(received) == sent
        assert not backlog
        backlog.close()


def test_the_file_has_no_name_and_is_emptied(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        backlog = Backlog(str(tmp_path))
        for _ in range(40):
            backlog.append(bytes(1 << 16), spill=True)
        assert list(tmp_path.iterdir()) == []
        total = 0
        while not backlog.send_to(ours):
            total += len(theirs.recv(1 << 20))
        while total < 40 << 16:
            total += len(theirs.recv(1 << 20))
        assert os.fstat(backlog._file).st_size == 0
        backlog.close()


class Reader:
    """A client of a process's output, and the end that reads it, or does not."""

    def __init__(self, loop: Loop, directory: Path) -> None:
        self.end, theirs = socket.socketpair()
        self.end.setblocking(False)
        self.gone: list[Client] = []
        options = ClientOptions(1, stdin=False, stdout=True, stderr=True, framed=False)
        self.client = Client(
            loop, options, theirs.detach(), str(directory),
            on_gone=self.gone.append, on_closed=lambda _client: None,
        )  # fmt: skip
        self.client.read_into(None, once=False)


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Reader, Loop]]:
    monkeypatch.setattr(spill, "MEMORY_LIMIT", 1 << 16)
    monkeypatch.setattr(spill, "FILE_LIMIT", 1 << 20)
    loop = Loop()
    made = Reader(loop, tmp_path)
    yield made, loop
    made.client.close()
    made.end.close()
    loop.close()


def fill(client: Client) -> int:
    """Send more than a client's memory and file hold; return how much that is."""
    block = memoryview(bytes(1 << 16))
    total = 0
    client._spills = True
    while not client._backlog.is_exhausted:
        client.send(stdcopy.STDOUT, block)
        total += len(block)
    return total


def test_a_process_waits_for_its_only_reader_once_the_file_is_full(
    reader: tuple[Reader, Loop],
) -> None:
    made, loop = reader
    total = fill(made.client)
    relieved: list[bool] = []
    assert made.client.hold_up(lambda: relieved.append(True))
    received = 0
    while received < total:
        assert received > total - (1 << 20) or not relieved
        with contextlib.suppress(BlockingIOError):
            received += len(made.end.recv(1 << 18))
        loop.call_later(0, loop.stop)
        loop._stopped = False
        loop.run()
    assert relieved == [True]
    assert not made.client.hold_up(lambda: None)
    assert made.gone == []


def test_one_of_several_readers_is_cut_off_once_the_file_is_full(
    reader: tuple[Reader, Loop],
) -> None:
    made, _loop = reader
    fill(made.client)
    made.client.let_spill()
    assert made.gone == [made.client]
    assert made.client.is_closed
