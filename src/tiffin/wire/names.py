"""Names files: which names mean which addresses, for the resolver inside each container.

One line each; fields are separated by blanks:

    network <name>                  the network that the addresses after this line belong to
    <address> <name> [<name> …]     the first name is the one that a reverse lookup gives
    alias <alias> <name>            another word for a name, whatever its address is by then
    include <path>                  another names file

A network has one file, with all its endpoints; a container has one, which includes those of its
networks and adds its links. So a container that comes or goes changes one file per network.
Names are matched without regard to case, alone and as `<name>.<network>`.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address
Reader = Callable[[str], str]

INCLUDE_DEPTH = 4


@dataclass(slots=True)
class Zone:
    """The names of some files, looked up both ways."""

    forward: dict[str, list[Address]] = field(default_factory=dict)
    reverse: dict[Address, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, read: Reader = lambda _path: "") -> "Zone":
        """Build a zone from a file's text; `read` gives the text of included files.

        Lines that make no sense are passed over: a resolver that answers most names beats none.
        """
        zone = cls()
        zone._take(text, read, set(), INCLUDE_DEPTH)
        return zone

    def _take(self, text: str, read: Reader, included: set[str], depth: int) -> None:
        network = ""
        for line in text.splitlines():
            keyword, *rest = line.split() or [""]
            if keyword == "network" and rest:
                network = " ".join(rest).lower()
            elif keyword == "include" and rest and depth > 0 and rest[0] not in included:
                included.add(rest[0])
                self._take(read(rest[0]), read, included, depth - 1)
            elif keyword == "alias" and len(rest) == 2:
                self.aliases[rest[0].lower()] = rest[1].lower()
            elif rest:
                self._add(keyword, rest, network)

    def _add(self, text: str, names: Iterable[str], network: str) -> None:
        try:
            address = ip_address(text)
        except ValueError:
            return
        for name in names:
            known = name.lower().rstrip(".")
            for spelling in (known, f"{known}.{network}") if network else (known,):
                addresses = self.forward.setdefault(spelling, [])
                if address not in addresses:
                    addresses.append(address)
            self.reverse.setdefault(address, f"{known}.{network}" if network else known)

    def addresses(self, name: str) -> list[Address] | None:
        """Return the addresses of a name, or None if it is not ours."""
        name = name.lower()
        return self.forward.get(self.aliases.get(name, name))

    def pointer(self, address: Address) -> str | None:
        """Return the name of an address, or None if it is not ours."""
        return self.reverse.get(address)


class Names:
    """A container's names file, followed: each look-up sees the files as they are now.

    A missing file means no names. The daemon replaces files by rename: inode, size and time tell.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._zone = Zone()
        self._seen: dict[str, _Mark] = {self._path: None}

    def addresses(self, name: str) -> list[Address] | None:
        """Return the addresses of a name, or None if it is not ours."""
        return self._current().addresses(name)

    def pointer(self, address: Address) -> str | None:
        """Return the name of an address, or None if it is not ours."""
        return self._current().pointer(address)

    def _current(self) -> Zone:
        if any(_mark(path) != mark for path, mark in self._seen.items()):
            self._seen = {}
            self._zone = Zone.parse(self._read(self._path), self._read)
        return self._zone

    def _read(self, path: str) -> str:
        # Marked before it is read: a change in between shows at the next look-up.
        self._seen[path] = _mark(path)
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


_Mark = tuple[int, int, int] | None


def _mark(path: str) -> _Mark:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
