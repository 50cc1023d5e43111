"""The DNS messages (RFC 1035) that the resolver inside a container reads and writes, without I/O.

    query = parse_query(datagram)               # MalformedQuery: drop it
    reply = answer(query, Names(path))          # None: not our name, forward `query.data` upstream
    reply = failure(query)                      # nobody upstream answers

Only one question per message is understood, as all resolvers send. A name that is ours never goes
upstream: a type that it does not have is answered with "no data".
"""

import enum
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from tiffin.wire.names import Address, Names

__all__ = [
    "Lookup",
    "MalformedQuery",
    "Names",
    "Query",
    "RCode",
    "answer",
    "failure",
    "parse_query",
]

HEADER = struct.Struct("!HHHHHH")
QUESTION = struct.Struct("!HH")
RECORD = struct.Struct("!HHIH")

TYPE_A, TYPE_PTR, TYPE_AAAA, TYPE_OPT, TYPE_ANY = 1, 12, 28, 41, 255
CLASS_IN = 1
FLAG_RESPONSE, FLAG_AUTHORITATIVE, FLAG_TRUNCATED = 0x8000, 0x0400, 0x0200
FLAG_RECURSION_DESIRED, FLAG_RECURSION_AVAILABLE = 0x0100, 0x0080
MASK_OPCODE = 0x7800
UDP_SIZE = 512
MAX_NAME = 255
TTL_S = 10
"""Short, because a name moves when its container is replaced."""

_QUESTION_NAME = b"\xc0\x0c"
"""A compression pointer to the question, which always follows the 12-byte header."""


class RCode(enum.IntEnum):
    """Response codes."""

    SUCCESS = 0
    FORMAT_ERROR = 1
    SERVER_FAILURE = 2
    REFUSED = 5


class MalformedQuery(ValueError):
    """The bytes are not a query that can be answered."""


class Lookup(Protocol):
    """Where `answer` looks names up."""

    def addresses(self, name: str) -> list[Address] | None:
        """Return the addresses of a name (maybe of one family only), or None if it is not ours."""

    def pointer(self, address: Address) -> str | None:
        """Return the name of an address, or None if it is not ours."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `name` is lower-case without the final dot; `data` is the whole message."""

    id: int
    name: str
    type: int
    qclass: int
    recursion_desired: bool
    udp_size: int
    question: bytes
    data: bytes


def parse_query(data: bytes) -> Query:
    """Read a query (without the length prefix of TCP); MalformedQuery if it is none."""
    if len(data) < HEADER.size:
        raise MalformedQuery("shorter than a header")
    identifier, flags, questions, answers, authorities, additional = HEADER.unpack_from(data)
    if flags & (FLAG_RESPONSE | MASK_OPCODE) or questions != 1:
        raise MalformedQuery("not a standard query with one question")
    name, end = _read_name(data, HEADER.size)
    if end + QUESTION.size > len(data):
        raise MalformedQuery("the question is cut off")
    kind, qclass = QUESTION.unpack_from(data, end)
    end += QUESTION.size
    return Query(
        id=identifier,
        name=name,
        type=kind,
        qclass=qclass,
        recursion_desired=bool(flags & FLAG_RECURSION_DESIRED),
        udp_size=_udp_size(data, end, answers + authorities + additional),
        question=data[HEADER.size : end],
        data=data,
    )


def answer(query: Query, names: Lookup, *, stream: bool = False) -> bytes | None:
    """Return the reply if the name is ours, else None. `stream`: no size limit, as over TCP."""
    if query.qclass != CLASS_IN:
        return None
    if query.type == TYPE_PTR:
        return _answer_pointer(query, names)
    addresses = names.addresses(query.name)
    if addresses is None:
        return None
    wanted = [a for a in addresses if query.type in (_type_of(a), TYPE_ANY)]
    wanted.sort(key=lambda _: os.urandom(4))
    records = [_record(_type_of(a), a.packed) for a in wanted]
    return _reply(query, records, None if stream else query.udp_size)


def failure(query: Query, code: RCode = RCode.SERVER_FAILURE) -> bytes:
    """Return a reply that says that there is no answer."""
    return _header(query, int(code), 0) + query.question


def _answer_pointer(query: Query, names: Lookup) -> bytes | None:
    address = _reverse_address(query.name)
    name = names.pointer(address) if address else None
    if name is None:
        return None
    return _reply(query, [_record(TYPE_PTR, _write_name(name))], None)


def _reply(query: Query, records: Sequence[bytes], limit: int | None) -> bytes:
    flags = FLAG_AUTHORITATIVE
    size = HEADER.size + len(query.question)
    fitting: list[bytes] = []
    for record in records:
        size += len(record)
        if limit is not None and size > limit:
            flags |= FLAG_TRUNCATED
            break
        fitting.append(record)
    return b"".join((_header(query, flags, len(fitting)), query.question, *fitting))


def _header(query: Query, flags: int, answers: int) -> bytes:
    flags |= FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE
    if query.recursion_desired:
        flags |= FLAG_RECURSION_DESIRED
    return HEADER.pack(query.id, flags, 1, answers, 0, 0)


def _record(kind: int, data: bytes) -> bytes:
    return _QUESTION_NAME + RECORD.pack(kind, CLASS_IN, TTL_S, len(data)) + data


def _type_of(address: Address) -> int:
    return TYPE_A if address.version == 4 else TYPE_AAAA


def _read_name(data: bytes, offset: int) -> tuple[str, int]:
    """Read an uncompressed name; a question comes first, so it has nothing to point to."""
    labels: list[str] = []
    start = offset
    while True:
        if offset >= len(data):
            raise MalformedQuery("the name is cut off")
        length = data[offset]
        offset += 1
        if length == 0:
            return ".".join(labels), offset
        if length > 63 or offset + length > len(data) or offset + length - start > MAX_NAME:
            raise MalformedQuery("bad label in the name")
        # Latin-1 keeps odd bytes apart without ever failing; such names are just not found.
        labels.append(data[offset : offset + length].decode("latin-1").lower())
        offset += length


def _skip_name(data: bytes, offset: int) -> int:
    while offset < len(data):
        length = data[offset]
        if length >= 0xC0:
            return offset + 2
        offset += 1 + length
        if length == 0:
            return offset
    return offset


def _udp_size(data: bytes, offset: int, records: int) -> int:
    """Return the size that the asker takes (RFC 6891), reading as far as the records make sense."""
    for _ in range(min(records, 8)):
        offset = _skip_name(data, offset)
        if offset + RECORD.size > len(data):
            break
        kind, size, _ttl, length = RECORD.unpack_from(data, offset)
        if kind == TYPE_OPT:
            return max(UDP_SIZE, min(int(size), 4096))
        offset += RECORD.size + length
    return UDP_SIZE


def _write_name(name: str) -> bytes:
    labels = [label.encode("utf-8")[:63] for label in name.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _reverse_address(name: str) -> Address | None:
    """Return the address that a name under in-addr.arpa or ip6.arpa stands for."""
    labels = name.split(".")
    try:
        if labels[-2:] == ["in-addr", "arpa"] and len(labels) == 6:
            return IPv4Address(".".join(reversed(labels[:4])))
        if labels[-2:] == ["ip6", "arpa"] and len(labels) == 34:
            digits = "".join(reversed(labels[:32]))
            if len(digits) == 32:
                return IPv6Address(int(digits, 16))
    except ValueError:
        return None
    return None
