"""`--chown` and `--chmod` of COPY and ADD."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from tiffin.errors import InvalidArgument
from tiffin.fs.rooted import Root

MAXIMUM_ACCOUNTS = 1 << 20
"""Bytes read of a passwd or group file."""
MAXIMUM_ID = 2**32 - 2
_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([rwxXst]*[ugo]?)")
_SHIFT = {"u": 6, "g": 3, "o": 0}

ModeChange = Callable[[int, bool], int]
"""From a mode and whether it is a directory's to the new mode."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Numeric owner."""

    uid: int
    gid: int


def resolve_owner(text: str, rootfs: Root) -> Owner:
    """Return whom `user[:group]` means in `rootfs`; InvalidArgument in Docker's words.

    A user alone brings its own group; a number alone is also the group's.
    """
    user, separator, group = text.partition(":")
    uid, gid = _user(user or "0", rootfs)
    if separator and group:
        gid = _group(group, rootfs)
    return Owner(uid, gid)


def _user(name: str, rootfs: Root) -> tuple[int, int]:
    if _is_number(name):
        return _checked(name), _checked(name)
    for fields in _lines(rootfs, "etc/passwd"):
        if fields[0] == name and len(fields) > 3 and _is_number(fields[2]) \
                and _is_number(fields[3]):  # fmt: skip
            return _checked(fields[2]), _checked(fields[3])
    raise _not_found("uid for user", name, "user")


def _group(name: str, rootfs: Root) -> int:
    if _is_number(name):
        return _checked(name)
    for fields in _lines(rootfs, "etc/group"):
        if fields[0] == name and len(fields) > 2 and _is_number(fields[2]):
            return _checked(fields[2])
    raise _not_found("gid for group", name, "group")


def _not_found(what: str, name: str, kind: str) -> InvalidArgument:
    return InvalidArgument("unable to convert uid/gid chown string to host mapping: "
                           f"can't find {what} {name}: no such {kind}: {name}")  # fmt: skip


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _checked(number: str) -> int:
    if int(number) > MAXIMUM_ID:
        raise InvalidArgument(f"uids and gids must be in range 0-{MAXIMUM_ID}")
    return int(number)


def _lines(rootfs: Root, path: str) -> list[list[str]]:
    try:
        fd = rootfs.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return []
    with open(fd, "rb") as file:
        text = file.read(MAXIMUM_ACCOUNTS).decode("utf-8", "replace")
    return [line.split(":") for line in text.splitlines() if line]


def parse_chmod(text: str) -> ModeChange:
    """Parse `755` or `u=rwX,go=rX`; InvalidArgument."""
    if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        number = int(text, 8)
        return lambda _mode, _is_directory: number
    clauses = [_CLAUSE.fullmatch(clause) for clause in text.split(",")]
    if not text or None in clauses:
        raise InvalidArgument(f"invalid chmod parameter: '{text}'. it should be octal string "
                              "and between 0 and 07777")  # fmt: skip
    parsed = [(match[1], _ACTION.findall(match[2])) for match in clauses if match]

    def change(mode: int, is_directory: bool) -> int:
        for who, actions in parsed:
            for operator, permissions in actions:
                mode = _changed(mode, who, operator, permissions, is_directory=is_directory)
        return mode

    return change


def _changed(mode: int, who: str, operator: str, permissions: str, *, is_directory: bool) -> int:
    targets = "ugo" if not who or "a" in who else who
    bits = 0
    mask = 0
    for target in targets:
        shift = _SHIFT[target]
        mask |= 0o7 << shift
        bits |= _permission_bits(mode, permissions, is_directory=is_directory) << shift
    for letter, targets_needed, bit in (("s", "u", 0o4000), ("s", "g", 0o2000)):
        if letter in permissions and targets_needed in targets:
            bits |= bit
            mask |= bit
    if "t" in permissions:
        bits |= 0o1000
        mask |= 0o1000
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    return (mode & ~mask) | bits


def _permission_bits(mode: int, permissions: str, *, is_directory: bool) -> int:
    if permissions in _SHIFT:
        return mode >> _SHIFT[permissions] & 0o7
    bits = 0
    for letter, bit in (("r", 4), ("w", 2), ("x", 1)):
        if letter in permissions:
            bits |= bit
    if "X" in permissions and (is_directory or mode & 0o111):
        bits |= 1
    return bits
