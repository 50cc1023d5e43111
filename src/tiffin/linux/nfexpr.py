"""Expressions of nftables rules: small instructions on registers, as `nft --debug=netlink` shows.

Registers are numbered in 4-byte units, 0 to 15; a value longer than that takes several in a row, and
a concatenated key is one value after another, each padded to 4 bytes. Numbers in attributes are in
network order, values in registers are as they are compared.
"""

import struct

from tiffin.wire import netlink as nl

NFTA_LIST_ELEM = 1
NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_DATA_VALUE, NFTA_DATA_VERDICT = 1, 2
NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN = 1, 2

VERDICT_REGISTER = 0
FIRST_REGISTER_32 = 8
NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_RETURN = 0, 1, -3, -5

NFT_META_IIFNAME, NFT_META_OIFNAME, NFT_META_NFPROTO, NFT_META_L4PROTO = 6, 7, 15, 16
NFT_CT_STATE, NFT_CT_STATUS = 0, 2
CT_ESTABLISHED, CT_RELATED = 2, 4
IPS_DST_NAT = 0x20
NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER = 1, 2
NFT_CMP_EQ, NFT_CMP_NEQ = 0, 1
NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR = 3, 2
RTN_LOCAL = 2
NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6 = 1, 2, 10
NFT_NAT_SNAT, NFT_NAT_DNAT = 0, 1

Expression = bytes


def verdict(code: int, chain: str = "") -> bytes:
    """Encode the data of a verdict, with the chain to jump to."""
    members = (nl.be32(NFTA_VERDICT_CODE, code), chain and nl.text(NFTA_VERDICT_CHAIN, chain))
    return nl.nested(NFTA_DATA_VERDICT, *(member for member in members if member))


def value(data: bytes) -> bytes:
    """Encode the data of a constant."""
    return nl.attribute(NFTA_DATA_VALUE, data)


def accept() -> Expression:
    """End this table's say: let the packet pass."""
    return _immediate_verdict(NF_ACCEPT)


def drop() -> Expression:
    """Discard the packet."""
    return _immediate_verdict(NF_DROP)


def verdict_return() -> Expression:
    """Go back to the calling chain, or to the policy."""
    return _immediate_verdict(NFT_RETURN)


def jump(chain: str) -> Expression:
    """Go on in a chain of the same table."""
    return _immediate_verdict(NFT_JUMP, chain)


def immediate(register: int, data: bytes) -> Expression:
    """Load a constant."""
    return _expression("immediate", nl.be32(1, _register(register)), nl.nested(2, value(data)))


def meta(key: int, register: int = 0) -> Expression:
    """Load what is known of the packet beside its bytes (`NFT_META_…`)."""
    return _expression("meta", nl.be32(1, _register(register)), nl.be32(2, key))


def payload(base: int, offset: int, length: int, register: int = 0) -> Expression:
    """Load bytes of the packet, counted from the network or transport header."""
    return _expression(
        "payload",
        nl.be32(1, _register(register)),
        nl.be32(2, base),
        nl.be32(3, offset),
        nl.be32(4, length),
    )


def compare(data: bytes, register: int = 0, *, equal: bool = True) -> Expression:
    """Leave the rule unless the register holds (or does not hold) `data`."""
    operator = NFT_CMP_EQ if equal else NFT_CMP_NEQ
    return _expression(
        "cmp", nl.be32(1, _register(register)), nl.be32(2, operator), nl.nested(3, value(data))
    )


def bits(mask: bytes, register: int = 0) -> Expression:
    """Keep only the bits of `mask`."""
    return _expression(
        "bitwise",
        nl.be32(1, _register(register)),
        nl.be32(2, _register(register)),
        nl.be32(3, len(mask)),
        nl.nested(4, value(mask)),
        nl.nested(5, value(bytes(len(mask)))),
    )


def lookup(
    name: str, register: int = 0, *, into: int | None = None, absent: bool = False
) -> Expression:
    """Leave the rule unless the key is in the set (or not in it, `absent`); load a map's value."""
    return _expression(
        "lookup",
        nl.text(1, name),
        nl.be32(2, _register(register)),
        b"" if into is None else nl.be32(3, _register(into)),
        nl.be32(5, 1) if absent else b"",
    )


def conntrack(key: int, register: int = 0) -> Expression:
    """Load what connection tracking knows (`NFT_CT_…`)."""
    return _expression("ct", nl.be32(1, _register(register)), nl.be32(2, key))


def destination_type(register: int = 0) -> Expression:
    """Load the routing type of the destination address (`RTN_…`)."""
    return _expression(
        "fib",
        nl.be32(1, _register(register)),
        nl.be32(2, NFT_FIB_RESULT_ADDRTYPE),
        nl.be32(3, NFTA_FIB_F_DADDR),
    )


def destination_nat(family: int, address: int, port: int | None = None) -> Expression:
    """Send the connection to the address and port in these registers."""
    return _expression(
        "nat",
        nl.be32(1, NFT_NAT_DNAT),
        nl.be32(2, family),
        nl.be32(3, _register(address)),
        b"" if port is None else nl.be32(5, _register(port)),
    )


def source_nat(family: int, address: int) -> Expression:
    """Let the connection come from the address in this register."""
    return _expression(
        "nat", nl.be32(1, NFT_NAT_SNAT), nl.be32(2, family), nl.be32(3, _register(address))
    )


def masquerade() -> Expression:
    """Let the connection come from the address of the interface that it leaves by."""
    return _expression("masq")


# Phrases: what several rules say, as nft writes it.


def for_family(family: int) -> Expression:
    """`meta nfproto …`."""
    return meta(NFT_META_NFPROTO) + compare(bytes((family,)))


def destination_address(family: int, register: int = 0) -> Expression:
    """Load `ip daddr` or `ip6 daddr`."""
    offset, length = (16, 4) if family == NFPROTO_IPV4 else (24, 16)
    return payload(NFT_PAYLOAD_NETWORK_HEADER, offset, length, register)


def source_address(family: int, register: int = 0) -> Expression:
    """Load `ip saddr` or `ip6 saddr`."""
    offset, length = (12, 4) if family == NFPROTO_IPV4 else (8, 16)
    return payload(NFT_PAYLOAD_NETWORK_HEADER, offset, length, register)


def destination_port(register: int = 0) -> Expression:
    """Load `th dport`."""
    return payload(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, register)


def has_state(mask: int) -> Expression:
    """`ct state …`."""
    return _any_bit(NFT_CT_STATE, mask)


def has_status(mask: int) -> Expression:
    """`ct status …`."""
    return _any_bit(NFT_CT_STATUS, mask)


def to_local_address() -> Expression:
    """`fib daddr type local`."""
    return destination_type() + compare(struct.pack("=I", RTN_LOCAL))


def _any_bit(key: int, mask: int) -> Expression:
    return conntrack(key) + bits(struct.pack("=I", mask)) + compare(bytes(4), equal=False)


def _immediate_verdict(code: int, chain: str = "") -> Expression:
    return _expression(
        "immediate", nl.be32(1, VERDICT_REGISTER), nl.nested(2, verdict(code, chain))
    )


def _expression(name: str, *members: bytes) -> Expression:
    return nl.nested(
        NFTA_LIST_ELEM, nl.text(NFTA_EXPR_NAME, name), nl.nested(NFTA_EXPR_DATA, *members)
    )


def _register(number: int) -> int:
    return FIRST_REGISTER_32 + number
