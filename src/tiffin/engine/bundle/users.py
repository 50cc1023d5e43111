"""Who a process runs as: `user[:group]` looked up in the container's own passwd and group files.

The files are read through a descriptor of the container's root with openat2, so a symlink in the
image cannot make us read the host's.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tiffin.errors import FailedPrecondition, InvalidArgument

MAX_ID = 2**31 - 1
"""Docker's limit for numeric ids (they must fit a signed 32-bit integer)."""

ReadLines = Callable[[str], Sequence[str]]
"""From a path inside the container to its lines; empty if there is no such file."""


@dataclass(frozen=True, slots=True)
class Account:
    """The identity of a process; `groups` are the supplementary ones, `home` is for $HOME."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


@dataclass(frozen=True, slots=True)
class _Passwd:
    """A line of /etc/passwd, passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    """A line of /etc/group, group(5)."""

    name: str
    gid: int
    members: tuple[str, ...]


def resolve_user(user: str, extra_groups: Sequence[str], read: ReadLines) -> Account:
    """Return the account that `user` names; FailedPrecondition in Docker's words otherwise.

    A number needs no entry. `extra_groups` (`--group-add`) are names or numbers.
    """
    name, _, group = user.partition(":")
    passwd = _passwd(read("/etc/passwd"))
    groups = _groups(read("/etc/group"))
    entry = _find_user(name, passwd)
    if entry is None:
        raise FailedPrecondition(f"unable to find user {name}: no matching entries in passwd file")
    gid, supplementary = entry.gid, _memberships(entry.name, groups)
    if group:
        gid, supplementary = _find_group(group, groups), ()
    extra = tuple(_find_group(item, groups) for item in extra_groups)
    # The primary one, too: without it a program could escape a rule that denies that group.
    ids = tuple(dict.fromkeys((gid, *supplementary, *extra)))
    return Account(entry.uid, gid, ids, entry.home or "/")


def _find_user(name: str, passwd: Sequence[_Passwd]) -> _Passwd | None:
    wanted = name or "0"
    number = int(wanted) if re.fullmatch(r"-?[0-9]+", wanted) else None
    for entry in passwd:
        if entry.name == wanted or (number is not None and entry.uid == number):
            return entry
    if number is None:
        return None
    _check_range(number)
    return _Passwd("", number, 0, "/root" if number == 0 and not passwd else "/")


def _find_group(name: str, groups: Sequence[_Group]) -> int:
    number = int(name) if re.fullmatch(r"-?[0-9]+", name) else None
    for group in groups:
        if group.name == name:
            return group.gid
    if number is None:
        raise FailedPrecondition(f"unable to find group {name}: no matching entries in group file")
    _check_range(number)
    return number


def _check_range(number: int) -> None:
    if not 0 <= number <= MAX_ID:
        raise InvalidArgument(f"uids and gids must be in range 0-{MAX_ID}")


def _memberships(name: str, groups: Sequence[_Group]) -> tuple[int, ...]:
    return tuple(group.gid for group in groups if name and name in group.members)


def _passwd(lines: Sequence[str]) -> list[_Passwd]:
    entries = []
    for line in lines:
        fields = line.strip().split(":")
        if len(fields) >= 4 and fields[2].isdigit() and fields[3].isdigit():
            home = fields[5] if len(fields) > 5 else ""
            entries.append(_Passwd(fields[0], int(fields[2]), int(fields[3]), home))
    return entries


def _groups(lines: Sequence[str]) -> list[_Group]:
    entries = []
    for line in lines:
        fields = line.strip().split(":")
        if len(fields) >= 3 and fields[2].isdigit():
            members = fields[3].split(",") if len(fields) > 3 else []
            entries.append(_Group(fields[0], int(fields[2]), tuple(filter(None, members))))
    return entries
