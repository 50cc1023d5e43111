"""The netlink channel against a scripted kernel."""

import errno
import socket
import struct
from typing import cast

import pytest

from tiffin.linux.netlink import Channel, Request
from tiffin.wire import netlink as nl

FIRST, SECOND = Request(16, 0, b"one.", "do one"), Request(16, 0, b"two.", "do two")


class Kernel:
    """Answers each send by what the script says of its messages."""

    def __init__(self, *script: list[tuple[int, int]], foreign: bytes = b"") -> None:
        """`script`: per send (index of the message, errno) of the acknowledgements."""
        self.script = list(script)
        self.sent: list[list[nl.Message]] = []
        self.waiting = [foreign] if foreign else []

    def setsockopt(self, *_arguments: object) -> None:
        pass

    def send(self, data: bytes) -> int:
        messages = list(nl.messages(data))
        self.sent.append(messages)
        for index, code in self.script.pop(0):
            payload = struct.pack("=i", -code) + bytes(nl.HEADER.size)
            self.waiting.append(nl.message(nl.NLMSG_ERROR, 0, messages[index].sequence, payload))
        return len(data)

    def recv(self, _size: int, _flags: int) -> bytes:
        if not self.waiting:
            raise BlockingIOError
        return self.waiting.pop(0)


def channel(kernel: Kernel) -> Channel:
    return Channel(cast("socket.socket", kernel))


def test_only_the_last_of_a_batch_is_acknowledged() -> None:
    kernel = Kernel([(1, 0)])
    channel(kernel).execute([FIRST, SECOND])
    (batch,) = kernel.sent
    assert [m.payload for m in batch] == [b"one.", b"two."]
    assert [bool(m.flags & nl.NLM_F_ACK) for m in batch] == [False, True]


def test_the_first_error_counts_and_the_rest_is_read() -> None:
    kernel = Kernel([(0, errno.EEXIST), (1, errno.ENODEV)], [(1, 0)])
    subject = channel(kernel)
    with pytest.raises(FileExistsError) as caught:
        subject.execute([FIRST, SECOND])
    assert caught.value.filename == "do one"
    subject.execute([FIRST, SECOND])


def test_an_error_of_the_last() -> None:
    with pytest.raises(OSError, match="do two"):
        channel(Kernel([(1, errno.ENODEV)])).execute([FIRST, SECOND])


def test_silence_is_an_error() -> None:
    with pytest.raises(OSError, match="no acknowledgement"):
        channel(Kernel([])).execute([FIRST])


def test_replies_to_others_are_passed_over() -> None:
    stale = nl.message(nl.NLMSG_ERROR, 0, 999, struct.pack("=i", -1) + bytes(16))
    kernel = Kernel([(0, 0)])
    subject = channel(kernel)
    kernel.waiting.append(stale)
    subject.execute([FIRST])


def test_what_a_killed_process_has_left_in_the_socket_is_read_away() -> None:
    kernel = Kernel([(0, 0)], foreign=b"half of a list")
    subject = channel(kernel)
    assert kernel.waiting == []
    subject.execute([FIRST])
    (batch,) = kernel.sent
    again = Kernel([(0, 0)])
    channel(again).execute([FIRST])
    assert again.sent[0][0].sequence != batch[0].sequence  # one in 16 million has bad luck


def test_a_trailer_is_sent_but_not_acknowledged() -> None:
    kernel = Kernel([(0, 0)])
    channel(kernel).execute([FIRST], trailer=SECOND)
    assert [bool(m.flags & nl.NLM_F_ACK) for m in kernel.sent[0]] == [True, False]


def test_nothing_to_do() -> None:
    channel(Kernel()).execute([])
