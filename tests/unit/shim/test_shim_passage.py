import fcntl
import os
import socket
from collections.abc import Iterator

import pytest

from tiffin.shim.passage import Passage
from tiffin.wire import stdcopy


@pytest.fixture
def ends() -> Iterator[tuple[int, int, socket.socket, socket.socket]]:
    read_end, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield read_end, write_end, ours, theirs
    os.close(read_end)
    os.close(write_end)
    ours.close()
    theirs.close()


def test_a_frame_is_moved(ends: tuple[int, int, socket.socket, socket.socket]) -> None:
    read_end, write_end, ours, theirs = ends
    passage = Passage(ours, framed=True)
    os.write(write_end, b"hello")
    assert passage.begin(stdcopy.STDERR, read_end)
    assert passage.owed == 0
    assert theirs.recv(100) == stdcopy.header(stdcopy.STDERR, 5) + b"hello"


def test_an_empty_pipe_is_left_to_be_read(
    ends: tuple[int, int, socket.socket, socket.socket],
) -> None:
    read_end, _write_end, ours, theirs = ends
    assert not Passage(ours, framed=True).begin(stdcopy.STDOUT, read_end)
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1)


def test_what_the_client_does_not_take_is_owed(
    ends: tuple[int, int, socket.socket, socket.socket],
) -> None:
    read_end, write_end, ours, theirs = ends
    size = fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 1 << 20)
    passage = Passage(ours, framed=False)
    data = os.urandom(size)
    assert os.write(write_end, data) == size
    assert passage.begin(stdcopy.STDOUT, read_end)
    assert passage.owed > 0
    received = b""
    while passage.owed > 100_000:
        received += theirs.recv(50_000)
        passage.go_on()
    taken = b""
    while passage.owed:
        taken += passage.take(40_000)
    ours.close()
    while portion := theirs.recv(1 << 16):
        received += portion
    assert received + taken == data
    assert passage.owed == 0


def test_a_client_that_is_gone(ends: tuple[int, int, socket.socket, socket.socket]) -> None:
    read_end, write_end, ours, theirs = ends
    theirs.close()
    os.write(write_end, b"hello")
    with pytest.raises(ConnectionError):
        Passage(ours, framed=True).begin(stdcopy.STDOUT, read_end)
