"""One member of a tar archive as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

_NONE: Mapping[str, bytes] = MappingProxyType({})


class EntryKind(StrEnum):
    """What a member is; the values are ustar's type flags (POSIX pax, ustar Interchange Format)."""

    FILE = "0"
    HARD_LINK = "1"
    SYMLINK = "2"
    CHARACTER = "3"
    BLOCK = "4"
    DIRECTORY = "5"
    FIFO = "6"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member. Text holds undecodable bytes as surrogates (PEP 383).

    `name` and `link` are as the archive has them: untrusted. `mode` is permission bits only. `size`
    is the file's length in bytes; a sparse file also has `extents`, (offset, length) of the parts
    that are stored, in order.
    """

    name: str
    kind: EntryKind = EntryKind.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    link: str = ""
    user: str = ""
    group: str = ""
    major: int = 0
    minor: int = 0
    xattrs: Mapping[str, bytes] = field(default_factory=lambda: _NONE)
    extents: tuple[tuple[int, int], ...] | None = None
