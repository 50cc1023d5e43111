import os
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.shim import protocol
from tiffin.shim.protocol import Assembler, ClientOptions, ForwardOptions, Message, ProtocolError

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = st.integers(0, 2**62)
clients = st.builds(
    ClientOptions, numbers, st.booleans(), st.booleans(), st.booleans(), st.booleans(), words, words
)
objects: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    words, st.recursive(words | numbers | st.none(), lambda inner: st.lists(inner, max_size=3))
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(protocol.Spawn, words),
    st.builds(
        protocol.Create,
        seq=numbers,
        id=words,
        bundle=words,
        log_driver=words,
        log_path=words,
        log_options=st.dictionaries(words, words),
        log_attributes=st.dictionaries(words, words),
        terminal=st.booleans(),
        rows=numbers,
        columns=numbers,
        open_stdin=st.booleans(),
        stdin_once=st.booleans(),
        init_process=st.booleans(),
        new_network=st.booleans(),
        dns_names=st.none() | words,
        dns_upstreams=st.lists(words),
        explain=st.booleans(),
        clients=st.lists(clients, max_size=3),
    ),
    st.builds(
        protocol.Start,
        numbers,
        st.lists(st.builds(ForwardOptions, words, words, numbers), max_size=4),
    ),
    st.builds(protocol.Attach, numbers, clients),
    st.builds(
        protocol.Exec,
        numbers,
        words,
        objects,
        st.booleans(),
        numbers,
        numbers,
        st.none() | clients,
    ),
    st.builds(protocol.Kill, numbers, numbers, st.booleans(), words),
    st.builds(protocol.Done, numbers, objects),
    st.builds(protocol.Failed, numbers, words, words),
    st.builds(protocol.Exited, numbers, numbers, st.booleans(), words),
    st.builds(protocol.Bye),
)


@given(messages)
def test_messages_round_trip(message: Message) -> None:
    assembler = Assembler()
    packets = protocol.encode(message)
    results = [assembler.feed(body) for body, _fds in packets]
    assert results[:-1] == [None] * (len(packets) - 1)
    assert results[-1] == (message, [])
    assert assembler.is_empty


@given(st.integers(1, 400), st.integers(0, 400_000))
def test_big_messages_and_many_descriptors_are_split(fds: int, size: int) -> None:
    message = protocol.Explained("x" * size)
    packets = protocol.encode(message, range(fds))
    assert all(len(body) <= protocol.PACKET_SIZE + 1 for body, _ in packets)
    assert all(len(group) <= protocol.FDS_PER_PACKET for _, group in packets)
    assembler = Assembler()
    for body, group in packets[:-1]:
        assert assembler.feed(body, group) is None
    assert assembler.feed(*packets[-1]) == (message, list(range(fds)))


def test_descriptors_travel_and_are_not_inherited() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        read_end, write_end = os.pipe()
        for packet in protocol.encode(protocol.Start(1, []), [write_end]):
            protocol.send_packet(ours, packet)
        received = Assembler().feed(*protocol.receive_packet(theirs))
        assert received is not None
        message, (copy,) = received
        assert message == protocol.Start(1, [])
        assert not os.get_inheritable(copy)
        os.write(copy, b"through")
        assert os.read(read_end, 10) == b"through"
        protocol.close_all([read_end, write_end, copy])


@pytest.mark.parametrize(
    "body", [b"", b"\0", b"\0[]", b'\0["Nope",{}]', b'\0["Kill",{}]', b"\0{}", b"\7[]", b"\0\xff"]
)
def test_what_is_no_message_closes_its_descriptors(body: bytes) -> None:
    read_end, write_end = os.pipe()
    with pytest.raises(ProtocolError):
        Assembler().feed(body, [write_end])
    assert os.read(read_end, 1) == b""
    os.close(read_end)


def test_fields_of_a_newer_peer_are_left_out() -> None:
    message = protocol.decode(b'["Kill",{"seq":1,"signal":15,"new":[]}]')
    assert message == protocol.Kill(1, 15)
