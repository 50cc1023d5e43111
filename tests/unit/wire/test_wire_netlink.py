"""The netlink codec: what is built is read back, and hostile bytes are refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.wire import netlink as nl

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)


@given(st.lists(st.tuples(u16, u16, u32, st.binary(max_size=40)), max_size=5))
def test_messages_come_back(sent: list[tuple[int, int, int, bytes]]) -> None:
    data = b"".join(nl.message(*each) for each in sent)
    assert len(data) % 4 == 0
    found = [(m.type, m.flags, m.sequence, m.payload) for m in nl.messages(data)]
    assert found == sent


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=6))
def test_attributes_come_back(sent: list[tuple[int, bytes]]) -> None:
    data = b"".join(nl.attribute(kind, payload) for kind, payload in sent)
    assert list(nl.attribute_list(data)) == sent
    assert nl.attributes(data) == dict(sent)
    wrapped = nl.attributes(nl.nested(7, data))[7]
    assert list(nl.attribute_list(wrapped)) == sent


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (lambda: list(nl.messages(data)), lambda: list(nl.attribute_list(data))):
        try:
            read()
        except nl.MalformedMessage:
            pass


@given(st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8")), u32)
def test_values_come_back(text: str, number: int) -> None:
    assert nl.string(nl.attributes(nl.text(1, text))[1]) == text
    assert nl.integer(nl.attributes(nl.u32(1, number))[1]) == number
    assert int.from_bytes(nl.attributes(nl.be32(1, number))[1], "big") == number


def test_an_attribute_has_an_end() -> None:
    with pytest.raises(ValueError, match="65,531"):
        nl.attribute(1, bytes(65_532))


def test_errors_and_what_the_kernel_says() -> None:
    request = nl.message(16, 5, 9, b"payload!")
    said = nl.text(nl.NLMSGERR_ATTR_MSG, "no such thing")
    whole = struct.pack("=i", -17) + request + said
    capped = struct.pack("=i", -17) + request[: nl.HEADER.size] + said
    for payload, flags in ((whole, 0), (capped, nl.NLM_F_CAPPED)):
        data = nl.message(nl.NLMSG_ERROR, nl.NLM_F_ACK_TLVS | flags, 9, payload)
        (reply,) = nl.messages(data)
        assert reply.error == 17
        assert reply.error_text == "no such thing"
    (acknowledged,) = nl.messages(nl.message(nl.NLMSG_ERROR, 0, 9, bytes(20)))
    assert acknowledged.error == 0
    assert acknowledged.error_text == ""
    assert nl.Message(16, 0, 1, b"").error is None
    with pytest.raises(nl.MalformedMessage):
        _ = nl.Message(nl.NLMSG_ERROR, 0, 1, b"").error
