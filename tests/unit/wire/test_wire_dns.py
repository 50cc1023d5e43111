"""The resolver's messages: property tests, and replies checked by an independent reader."""

import struct
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin.wire.dns import MalformedQuery, RCode, answer, failure, parse_query
from tiffin.wire.names import Names, Zone

A, PTR, AAAA, MX = 1, 12, 28, 15

ZONE = Zone.parse(
    "network shop\n10.0.0.2 web www 0123456789ab\n10.0.0.3 db www\nfd00::3 db\nnonsense line\n"
)


def question(
    name: str, kind: int, *, identifier: int = 7, extra: bytes = b"", more: int = 0
) -> bytes:
    labels = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    header = struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, more)
    return header + labels + b"\0" + struct.pack("!HH", kind, 1) + extra


def records(reply: bytes, query: bytes) -> list[tuple[int, bytes]]:
    identifier, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", reply)
    assert identifier == struct.unpack_from("!H", query)[0]
    assert flags & 0x8180 == 0x8180
    assert questions == 1
    offset = reply.index(b"\0", 12) + 5
    found = []
    for _ in range(answers):
        assert reply[offset : offset + 2] == b"\xc0\x0c"
        kind, qclass, _ttl, length = struct.unpack_from("!HHIH", reply, offset + 2)
        assert qclass == 1
        found.append((kind, reply[offset + 12 : offset + 12 + length]))
        offset += 12 + length
    assert offset == len(reply)
    return found


def ask(name: str, kind: int) -> list[tuple[int, bytes]] | None:
    data = question(name, kind)
    reply = answer(parse_query(data), ZONE)
    return None if reply is None else records(reply, data)


def test_address_by_name_alias_and_qualified_name() -> None:
    expected = [(A, IPv4Address("10.0.0.2").packed)]
    assert ask("web", A) == expected
    assert ask("WEB.shop", A) == expected
    assert ask("0123456789ab", A) == expected


def test_an_alias_of_two_gives_both_in_any_order() -> None:
    replies = [ask("www", A) for _ in range(60)]
    assert {len(reply or []) for reply in replies} == {2}
    assert len({str(reply) for reply in replies}) == 2


def test_known_names_never_leak() -> None:
    assert ask("web", AAAA) == []
    assert ask("web", MX) == []
    assert ask("db", AAAA) == [(AAAA, IPv6Address("fd00::3").packed)]
    assert ask("example.org", A) is None


def test_reverse() -> None:
    assert ask("2.0.0.10.in-addr.arpa", PTR) == [(PTR, b"\3web\4shop\0")]
    digits = ".".join(reversed(IPv6Address("fd00::3").exploded.replace(":", "")))
    assert ask(f"{digits}.ip6.arpa", PTR) == [(PTR, b"\2db\4shop\0")]
    assert ask("9.0.0.10.in-addr.arpa", PTR) is None
    assert ask("x.0.0.10.in-addr.arpa", PTR) is None


def test_long_replies_are_truncated_over_udp_only() -> None:
    many = Zone.parse("\n".join(f"10.1.{i // 250}.{i % 250} many" for i in range(400)))
    query = parse_query(question("many", A))
    short = answer(query, many)
    assert short is not None
    assert len(short) <= 512
    assert struct.unpack_from("!H", short, 2)[0] & 0x0200
    whole = answer(query, many, stream=True)
    assert whole is not None
    assert len(records(whole, query.data)) == 400


def test_edns_raises_the_limit() -> None:
    option = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0)
    assert parse_query(question("a", A, extra=option, more=1)).udp_size == 1232
    assert parse_query(question("a", A)).udp_size == 512
    assert parse_query(question("a", A, extra=option[:5], more=1)).udp_size == 512


def test_failure_repeats_the_question() -> None:
    query = parse_query(question("gone.example", A))
    reply = failure(query, RCode.REFUSED)
    assert reply[3] & 15 == RCode.REFUSED
    assert records(reply, query.data) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 12,
        question("a", A)[:-1],
        question("a", A)[:14],
        struct.pack("!HHHHHH", 1, 0x8000, 1, 0, 0, 0) + b"\0\0\1\0\1",
        struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(MalformedQuery):
        parse_query(data)


@given(
    st.binary(max_size=80) | st.binary(max_size=60).map(lambda rest: question("a.b", A)[:12] + rest)
)
def test_any_bytes_are_answered_or_refused(data: bytes) -> None:
    try:
        query = parse_query(data)
    except MalformedQuery:
        return
    answer(query, ZONE)
    failure(query)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?(\.[a-z0-9]{1,9})?", fullmatch=True),
        st.ip_addresses(),
        max_size=9,
    )
)
def test_every_name_is_found_both_ways(table: dict[str, IPv4Address | IPv6Address]) -> None:
    zone = Zone.parse("".join(f"{address} {name}\n" for name, address in table.items()))
    for name, address in table.items():
        data = question(name, A if address.version == 4 else AAAA)
        reply = answer(parse_query(data), zone)
        assert reply is not None
        assert records(reply, data) == [(A if address.version == 4 else AAAA, address.packed)]
        assert table[str(zone.pointer(address))] == address


@given(st.text())
def test_any_text_is_a_names_file(text: str) -> None:
    Zone.parse(text, lambda _path: text)


def test_files_are_followed(tmp_path: Path) -> None:
    own, shared = tmp_path / "own", tmp_path / "shared"
    names = Names(own)
    assert names.addresses("web") is None
    own.write_text(f"include {shared}\n10.0.0.9 link\nalias Store web\n")
    assert names.addresses("store") is None
    assert names.addresses("link") == [IPv4Address("10.0.0.9")]
    shared.write_text("network shop\n10.0.0.2 web\n")
    assert names.addresses("web.shop") == [IPv4Address("10.0.0.2")]
    replacement = tmp_path / "new"
    replacement.write_text("network shop\n10.0.0.4 web\n")
    replacement.rename(shared)
    assert names.addresses("web") == [IPv4Address("10.0.0.4")]
    assert names.addresses("STORE") == [IPv4Address("10.0.0.4")]
    assert names.pointer(IPv4Address("10.0.0.4")) == "web.shop"
    own.unlink()
    assert names.addresses("link") is None
