"""Tables, chains, rules, sets and maps of nftables as requests, and transactions of them.

A transaction is all or nothing: the kernel's rules never show a part of it. Expressions of rules
are in `nfexpr`. All tables here are of the `inet` family.
"""

import errno
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tiffin.linux.netlink import NETLINK_NETFILTER, Channel, Request, open_socket
from tiffin.linux.nfexpr import NFPROTO_INET, Expression
from tiffin.wire import netlink as nl

NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
(
    NFT_MSG_NEWTABLE, NFT_MSG_GETTABLE, NFT_MSG_DELTABLE,
    NFT_MSG_NEWCHAIN, NFT_MSG_GETCHAIN, NFT_MSG_DELCHAIN,
    NFT_MSG_NEWRULE, NFT_MSG_GETRULE, NFT_MSG_DELRULE,
    NFT_MSG_NEWSET, NFT_MSG_GETSET, NFT_MSG_DELSET,
    NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM,
) = range(15)  # fmt: skip

NFTA_TABLE_NAME = 1
NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, NFTA_CHAIN_HOOK = 1, 3, 4
NFTA_CHAIN_POLICY, NFTA_CHAIN_TYPE = 5, 7
NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY = 1, 2
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS = 1, 2, 4
NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_FLAGS, NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN = 1, 2, 3, 4, 5
NFTA_SET_DATA_TYPE, NFTA_SET_DATA_LEN, NFTA_SET_DESC, NFTA_SET_ID = 6, 7, 9, 10
NFTA_SET_DESC_CONCAT, NFTA_SET_FIELD_LEN = 2, 1
NFTA_SET_USERDATA = 13
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_FLAGS, NFTA_SET_ELEM_KEY_END = 1, 2, 3, 10
NFTA_DATA_VALUE = 1
NFTA_LIST_ELEM = 1

NFT_SET_INTERVAL, NFT_SET_MAP, NFT_SET_CONCAT = 0x4, 0x8, 0x80
NFT_SET_ELEM_INTERVAL_END = 1
NF_ACCEPT = 1

KEY_IN_HOST_ORDER = struct.pack("=BBI", 0, 4, 1)
"""A note for the `nft` command, which otherwise shows names as empty."""

ELEMENTS_PER_REQUEST = 512
"""An attribute holds 64 KiB; the longest element here takes less than 120 bytes."""


class Hook(IntEnum):
    """Where a base chain sees packets."""

    PREROUTING = 0
    INPUT = 1
    FORWARD = 2
    OUTPUT = 3
    POSTROUTING = 4


@dataclass(frozen=True, slots=True)
class DataType:
    """A type as the `nft` command knows it: by number, with its length in bytes."""

    number: int
    length: int


IPV4_ADDRESS = DataType(7, 4)
IPV6_ADDRESS = DataType(8, 16)
PROTOCOL = DataType(12, 1)
SERVICE = DataType(13, 2)
INTERFACE_NAME = DataType(41, 16)


@dataclass(frozen=True, slots=True)
class Element:
    """One element: `key` to `end` inclusive in an interval set of several fields.

    In an interval set of one field `end` is exclusive and b"" stands for no end.
    """

    key: bytes
    end: bytes = b""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Set:
    """A set, or a map if `data` is given; several key types make a concatenated key."""

    name: str
    key: tuple[DataType, ...]
    data: tuple[DataType, ...] = ()
    interval: bool = False


def field(data: bytes) -> bytes:
    """Pad one field of a concatenated key to whole registers."""
    return data + bytes(-len(data) % 4)


def interface(name: str) -> bytes:
    """Return an interface's name as a key."""
    return name.encode().ljust(16, b"\0")


def add_table(table: str) -> Request:
    """Make a table, or find it there."""
    return _request(NFT_MSG_NEWTABLE, nl.NLM_F_CREATE, nl.text(1, table), f"add table {table}")


def delete_table(table: str) -> Request:
    """Remove a table with all that is in it; ENOENT if it is not there."""
    return _request(NFT_MSG_DELTABLE, 0, nl.text(NFTA_TABLE_NAME, table), f"delete table {table}")


def add_chain(table: str, name: str) -> Request:
    """Make a chain to jump to."""
    return _add_chain(table, name, b"", f"add chain {name}")


def add_base_chain(table: str, name: str, kind: str, hook: Hook, priority: int) -> Request:
    """Make a chain of type `filter` or `nat` that packets enter at a hook; its policy is accept."""
    where = nl.nested(
        NFTA_CHAIN_HOOK, nl.be32(NFTA_HOOK_HOOKNUM, hook), nl.be32(NFTA_HOOK_PRIORITY, priority)
    )
    attributes = where + nl.be32(NFTA_CHAIN_POLICY, NF_ACCEPT) + nl.text(NFTA_CHAIN_TYPE, kind)
    return _add_chain(table, name, attributes, f"add {kind} chain {name} at {hook.name.lower()}")


def add_rule(table: str, chain: str, *expressions: Expression, what: str = "") -> Request:
    """Append a rule to a chain."""
    attributes = (
        nl.text(NFTA_RULE_TABLE, table)
        + nl.text(NFTA_RULE_CHAIN, chain)
        + nl.nested(NFTA_RULE_EXPRESSIONS, *expressions)
    )
    flags = nl.NLM_F_CREATE | nl.NLM_F_APPEND
    return _request(NFT_MSG_NEWRULE, flags, attributes, f"add rule {chain}: {what}")


def add_set(table: str, declaration: Set, number: int) -> Request:
    """Make a set or map; `number` is unique in the transaction."""
    flags = (NFT_SET_INTERVAL if declaration.interval else 0) | (
        NFT_SET_MAP if declaration.data else 0
    )
    description = b""
    if len(declaration.key) > 1 and declaration.interval:
        flags |= NFT_SET_CONCAT
        lengths = [
            nl.nested(NFTA_LIST_ELEM, nl.be32(NFTA_SET_FIELD_LEN, kind.length))
            for kind in declaration.key
        ]
        description = nl.nested(NFTA_SET_DESC, nl.nested(NFTA_SET_DESC_CONCAT, *lengths))
    attributes = [
        nl.text(NFTA_SET_TABLE, table),
        nl.text(NFTA_SET_NAME, declaration.name),
        nl.be32(NFTA_SET_FLAGS, flags),
        nl.be32(NFTA_SET_KEY_TYPE, _type_number(declaration.key)),
        nl.be32(NFTA_SET_KEY_LEN, _length(declaration.key)),
        nl.be32(NFTA_SET_ID, number),
        description,
    ]
    if declaration.key == (INTERFACE_NAME,):
        attributes.append(nl.attribute(NFTA_SET_USERDATA, KEY_IN_HOST_ORDER))
    if declaration.data:
        attributes.append(nl.be32(NFTA_SET_DATA_TYPE, _type_number(declaration.data)))
        attributes.append(nl.be32(NFTA_SET_DATA_LEN, _length(declaration.data)))
    what = f"add {'map' if declaration.data else 'set'} {declaration.name}"
    return _request(NFT_MSG_NEWSET, nl.NLM_F_CREATE, b"".join(attributes), what)


def add_elements(table: str, declaration: Set, elements: Iterable[Element]) -> list[Request]:
    """Put elements into a set."""
    return _elements(NFT_MSG_NEWSETELEM, nl.NLM_F_CREATE, "add", table, declaration, elements)


def delete_elements(table: str, declaration: Set, elements: Iterable[Element]) -> list[Request]:
    """Take elements out of a set; ENOENT if one is not there."""
    return _elements(NFT_MSG_DELSETELEM, 0, "delete", table, declaration, elements)


def commit(channel: Channel, requests: Sequence[Request]) -> None:
    """Carry requests out as one transaction; OSError if nothing was changed."""
    if not requests:
        return
    begin = Request(NFNL_MSG_BATCH_BEGIN, 0, _generic(0, NFNL_SUBSYS_NFTABLES), "begin transaction")
    end = Request(NFNL_MSG_BATCH_END, 0, _generic(0, NFNL_SUBSYS_NFTABLES), "end transaction")
    channel.execute([begin, *requests], trailer=end)


def table_exists(channel: Channel, table: str) -> bool:
    """Tell whether a table is there."""
    kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE
    payload = _generic(NFPROTO_INET, 0) + nl.text(NFTA_TABLE_NAME, table)
    try:
        channel.get(kind, payload, f"find table {table}")
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def dump_tables(channel: Channel) -> list[str]:
    """Return the names of all tables of the inet family."""
    kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE
    replies = channel.dump(kind, _generic(NFPROTO_INET, 0))
    return [_name(reply.payload, NFTA_TABLE_NAME) for reply in replies]


def dump_elements(channel: Channel, table: str, declaration: Set) -> list[Element]:
    """Return a set's elements, in the form in which they were added (ends apart for one field)."""
    kind = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM
    payload = (
        _generic(NFPROTO_INET, 0)
        + nl.text(NFTA_SET_ELEM_LIST_TABLE, table)
        + nl.text(NFTA_SET_ELEM_LIST_SET, declaration.name)
    )
    found: list[Element] = []
    for reply in channel.dump(kind, payload):
        listed = nl.attributes(reply.payload[4:]).get(NFTA_SET_ELEM_LIST_ELEMENTS, b"")
        found += [_parse_element(data) for _kind, data in nl.attribute_list(listed)]
    return found


def open_channel() -> Channel:
    """Open an nfnetlink channel in the calling thread's network namespace."""
    return Channel(open_socket(NETLINK_NETFILTER))


def _parse_element(data: bytes) -> Element:
    members = nl.attributes(data)

    def plain(kind: int) -> bytes:
        return nl.attributes(members.get(kind, b"")).get(NFTA_DATA_VALUE, b"")

    return Element(
        plain(NFTA_SET_ELEM_KEY), plain(NFTA_SET_ELEM_KEY_END), plain(NFTA_SET_ELEM_DATA)
    )


def _elements(
    message: int, flags: int, verb: str, table: str, declaration: Set, elements: Iterable[Element]
) -> list[Request]:
    encoded = [part for element in elements for part in _element(declaration, element)]
    head = nl.text(NFTA_SET_ELEM_LIST_TABLE, table) + nl.text(
        NFTA_SET_ELEM_LIST_SET, declaration.name
    )
    return [
        _request(
            message,
            flags,
            head + nl.nested(NFTA_SET_ELEM_LIST_ELEMENTS, *encoded[start:][:ELEMENTS_PER_REQUEST]),
            f"{verb} {len(encoded[start:][:ELEMENTS_PER_REQUEST])} elements of {declaration.name}",
        )
        for start in range(0, len(encoded), ELEMENTS_PER_REQUEST)
    ]


def _element(declaration: Set, element: Element) -> list[bytes]:
    members = [nl.nested(NFTA_SET_ELEM_KEY, nl.attribute(NFTA_DATA_VALUE, element.key))]
    if element.data:
        data = nl.attribute(NFTA_DATA_VALUE, element.data)
        members.append(nl.nested(NFTA_SET_ELEM_DATA, data))
    if declaration.interval and len(declaration.key) > 1:
        last = nl.attribute(NFTA_DATA_VALUE, element.end or element.key)
        members.append(nl.nested(NFTA_SET_ELEM_KEY_END, last))
    encoded = [nl.nested(NFTA_LIST_ELEM, *members)]
    if declaration.interval and len(declaration.key) == 1 and element.end:
        # One field: the interval ends where an element that only marks the end begins.
        end = nl.nested(NFTA_SET_ELEM_KEY, nl.attribute(NFTA_DATA_VALUE, element.end))
        mark = nl.be32(NFTA_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END)
        encoded.append(nl.nested(NFTA_LIST_ELEM, end, mark))
    return encoded


def _add_chain(table: str, name: str, attributes: bytes, what: str) -> Request:
    head = nl.text(NFTA_CHAIN_TABLE, table) + nl.text(NFTA_CHAIN_NAME, name)
    return _request(NFT_MSG_NEWCHAIN, nl.NLM_F_CREATE, head + attributes, what)


def _request(message: int, flags: int, attributes: bytes, what: str) -> Request:
    payload = _generic(NFPROTO_INET, 0) + attributes
    return Request(NFNL_SUBSYS_NFTABLES << 8 | message, flags, payload, what)


def _generic(family: int, resource: int) -> bytes:
    """Encode an `nfgenmsg`."""
    return struct.pack("!BBH", family, 0, resource)


def _name(payload: bytes, kind: int) -> str:
    return nl.string(nl.attributes(payload[4:]).get(kind, b""))


def _type_number(types: Sequence[DataType]) -> int:
    number = 0
    for kind in types:
        number = number << 6 | kind.number
    return number


def _length(types: Sequence[DataType]) -> int:
    if len(types) == 1:
        return types[0].length
    return sum((kind.length + 3) & ~3 for kind in types)
