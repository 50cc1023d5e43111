"""The netlink codec: messages and attributes (netlink(7), rtnetlink(7)), without I/O.

Messages are in host byte order and padded to 4 bytes. Attributes are `(kind, payload)`; the
functions below build them already padded, so that concatenating gives a valid list.
"""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port."""
ATTRIBUTE = struct.Struct("=HH")
ERROR = struct.Struct("=i")

NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE = 1, 2, 3

NLM_F_REQUEST = 0x001
NLM_F_MULTI = 0x002
NLM_F_ACK = 0x004
NLM_F_DUMP_INTR = 0x010
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

NLMSGERR_ATTR_MSG = 1

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF
NLA_MAX = 0xFFFF


class MalformedMessage(ValueError):
    """Bytes that are no netlink message or attribute list."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `payload` follows the header and is not padded."""

    type: int
    flags: int
    sequence: int
    payload: bytes

    @property
    def error(self) -> int | None:
        """The errno of an error or a failed dump, 0 of an acknowledgement, None of anything else."""
        if self.type == NLMSG_ERROR or (self.type == NLMSG_DONE and len(self.payload) >= 4):
            if len(self.payload) < ERROR.size:
                raise MalformedMessage("an error without a code")
            code: int = ERROR.unpack_from(self.payload)[0]
            return -code
        return None

    @property
    def error_text(self) -> str:
        """What the kernel says about the error, or ""."""
        if self.type != NLMSG_ERROR or not self.flags & NLM_F_ACK_TLVS:
            return ""
        start = ERROR.size + HEADER.size
        if not self.flags & NLM_F_CAPPED:
            request_length = HEADER.unpack_from(self.payload, ERROR.size)[0]
            start = ERROR.size + _aligned(request_length)
        text = attributes(self.payload[start:]).get(NLMSGERR_ATTR_MSG, b"")
        return text.rstrip(b"\0").decode("utf-8", "replace")


def message(kind: int, flags: int, sequence: int, payload: bytes) -> bytes:
    """Encode a message with its padding."""
    length = HEADER.size + len(payload)
    return HEADER.pack(length, kind, flags, sequence, 0) + payload + bytes(-length % 4)


def messages(data: bytes) -> Iterator[Message]:
    """Decode what one `recv` gave; MalformedMessage if a length is wrong."""
    offset = 0
    while offset < len(data):
        if offset + HEADER.size > len(data):
            raise MalformedMessage("the header is cut off")
        length, kind, flags, sequence, _port = HEADER.unpack_from(data, offset)
        if length < HEADER.size or offset + length > len(data):
            raise MalformedMessage(f"a message says that it is {length} bytes long")
        yield Message(kind, flags, sequence, data[offset + HEADER.size : offset + length])
        offset += _aligned(length)


def attribute(kind: int, payload: bytes) -> bytes:
    """Encode one attribute; ValueError above 65,531 bytes."""
    length = ATTRIBUTE.size + len(payload)
    if length > NLA_MAX:
        raise ValueError("a netlink attribute holds at most 65,531 bytes")
    return ATTRIBUTE.pack(length, kind) + payload + bytes(-length % 4)


def nested(kind: int, *members: bytes) -> bytes:
    """Encode an attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(members))


def text(kind: int, value: str) -> bytes:
    """Encode a NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    """Encode one byte."""
    return attribute(kind, bytes((value,)))


def u16(kind: int, value: int) -> bytes:
    """Encode 16 bits in host order."""
    return attribute(kind, struct.pack("=H", value))


def u32(kind: int, value: int) -> bytes:
    """Encode 32 bits in host order."""
    return attribute(kind, struct.pack("=I", value))


def be32(kind: int, value: int) -> bytes:
    """Encode 32 bits in network order, as nftables wants them; negative values wrap."""
    return attribute(kind, struct.pack("!I", value & 0xFFFFFFFF))


def attribute_list(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Decode attributes in order, flags stripped from their kinds; MalformedMessage."""
    offset = 0
    while offset + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, offset)
        if length < ATTRIBUTE.size or offset + length > len(data):
            raise MalformedMessage(f"an attribute says that it is {length} bytes long")
        yield kind & NLA_TYPE_MASK, data[offset + ATTRIBUTE.size : offset + length]
        offset += _aligned(length)


def attributes(data: bytes) -> dict[int, bytes]:
    """Decode attributes by kind; of several of one kind the last counts."""
    return dict(attribute_list(data))


def string(payload: bytes) -> str:
    """Decode a NUL-terminated string."""
    return payload.split(b"\0", 1)[0].decode("utf-8", "replace")


def integer(payload: bytes) -> int:
    """Decode an unsigned integer in host order."""
    return int.from_bytes(payload, _HOST_ORDER)


def _aligned(length: int) -> int:
    return (length + 3) & ~3


_HOST_ORDER = sys.byteorder
