"""Which ids of the host containers may have: /etc/subuid, /etc/subgid and `--userns-remap`.

The messages are Docker's (subuid(5), dockerd's "Isolate containers with a user namespace").
"""

import logging
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiffin.errors import FailedPrecondition, InvalidArgument
from tiffin.spec.id_mapping import IdMapping, IdMappings

log = logging.getLogger(__name__)

DEFAULT_WORD = "default"
DEFAULT_USER = "dockremap"
"""Who `--userns-remap=default` stands for; made if missing."""

_FIRST = 100_000
_SIZE = 65_536
_LARGEST = 2**32 - 1

Run = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Range:
    """One line of /etc/subuid or /etc/subgid."""

    owner: str
    first: int
    size: int


@dataclass(frozen=True, slots=True)
class Account:
    """One line of /etc/passwd or /etc/group, as far as it matters here."""

    name: str
    number: int


def remapping(setting: str, etc: Path = Path("/etc"), run: Run | None = None) -> IdMappings:
    """Return what `--userns-remap` says, empty mappings if nothing.

    `default` makes its user by useradd(8) and usermod(8) if need be. InvalidArgument,
    FailedPrecondition in Docker's words.
    """
    if not setting:
        return IdMappings()
    user = _user_of(setting, etc, run or _run)
    if user.name == "root":
        log.warning("User namespaces: root cannot be remapped with itself; user namespaces are OFF")
        return IdMappings()
    try:
        return IdMappings(
            _mapped(etc / "subuid", "subuid", user), _mapped(etc / "subgid", "subgid", user)
        )
    except ValueError as error:
        raise FailedPrecondition(f"error creating ID mappings: {error}") from error


def check_storage(directory: Path) -> None:
    """Raise FailedPrecondition if files below cannot have other owners than are stored."""
    command = (sys.executable, "-m", "tiffin.linux.idmap_probe", str(directory))
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except subprocess.CalledProcessError as error:
        raise FailedPrecondition(
            f"userns-remap needs idmapped mounts: {str(error.stderr).strip()}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise FailedPrecondition("userns-remap: probing for idmapped mounts hangs") from error


def _user_of(setting: str, etc: Path, run: Run) -> Account:
    """Return the user whose ranges are meant; its group is looked up, and that is all."""
    user, separator, group = setting.partition(":")
    if ":" in group:
        raise InvalidArgument(f'Invalid user/group specification in --userns-remap: "{setting}"')
    users, groups = _accounts(etc / "passwd"), _accounts(etc / "group")
    if user.isascii() and user.isdigit():
        found = _by_number(users, int(user))
        if found is None:
            raise InvalidArgument(f"Uid {user} has no entry in /etc/passwd")
        if not separator and _by_number(groups, int(user)) is None:
            raise InvalidArgument(f"Gid {user} has no entry in /etc/group")
    else:
        name = DEFAULT_USER if user == DEFAULT_WORD else user
        found = _by_name(users, name)
        if user == DEFAULT_WORD:
            return _make_default(found, etc, run)
        if found is None:
            raise InvalidArgument(f'Error during uid lookup for "{name}": no such user')
        if not separator and _by_name(groups, name) is None:
            raise InvalidArgument(f'Error during gid lookup for "{name}": no such group')
    if separator:
        _check_group(groups, group)
    return found


def _check_group(groups: Sequence[Account], group: str) -> None:
    if group.isascii() and group.isdigit():
        if _by_number(groups, int(group)) is None:
            raise InvalidArgument(f"Gid {group} has no entry in /etc/passwd")
    elif _by_name(groups, group) is None:
        raise InvalidArgument(f'Error during groupname lookup for "{group}": no such group')


def _make_default(found: Account | None, etc: Path, run: Run) -> Account:
    try:
        if found is None:
            run(("useradd", "--system", "--user-group", "--no-create-home",
                 "--shell", "/bin/false", DEFAULT_USER))  # fmt: skip
            found = _by_name(_accounts(etc / "passwd"), DEFAULT_USER)
        if found is None:
            raise FailedPrecondition("useradd has made no user")
        for file, option in (("subuid", "--add-subuids"), ("subgid", "--add-subgids")):
            ranges = read_ranges(etc / file)
            if not any(item.owner in (found.name, str(found.number)) for item in ranges):
                first = free_range(ranges, _FIRST, _SIZE)
                run(("usermod", option, f"{first}-{first + _SIZE - 1}", DEFAULT_USER))
    except FailedPrecondition as error:
        raise FailedPrecondition(
            f'Error during "{DEFAULT_USER}" user creation: {error.message}'
        ) from error
    return found


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    except FileNotFoundError as error:
        raise FailedPrecondition(f"cannot add user; no {command[0]} binary found") from error
    except subprocess.TimeoutExpired as error:
        raise FailedPrecondition(f"{command[0]} does not end") from error
    except subprocess.CalledProcessError as error:
        raise FailedPrecondition(f"{command[0]}: {str(error.stderr).strip()}") from error


def free_range(ranges: Sequence[Range], first: int, size: int) -> int:
    """Return where `size` ids from `first` on are free; FailedPrecondition if nowhere."""
    for item in sorted(ranges, key=lambda item: item.first):
        if item.first < first + size and first < item.first + item.size:
            first = item.first + item.size
    if first + size > _LARGEST:
        raise FailedPrecondition(f"no {size} subordinate ids are free")
    return first


def _mapped(path: Path, what: str, user: Account) -> tuple[IdMapping, ...]:
    """Return the user's ranges, laid end to end from the container's id 0 on; ValueError."""
    mapped, start = [], 0
    for item in read_ranges(path):
        if item.owner in (user.name, str(user.number)):
            mapped.append(IdMapping(start, item.first, item.size))
            start += item.size
    if not mapped:
        raise ValueError(f'no {what} ranges found for user "{user.name}" in {path}')
    return tuple(mapped)


def read_ranges(path: Path) -> list[Range]:
    """Return the lines of a file of ranges, [] if it is missing; ValueError."""
    ranges = []
    for line in _lines(path):
        owner, _, rest = line.partition(":")
        first, _, size = rest.partition(":")
        if not (first.isascii() and first.isdigit() and size.isascii() and size.isdigit()):
            raise ValueError(f"{path}: cannot understand {line!r}")
        if int(size) and int(first) + int(size) <= _LARGEST:
            ranges.append(Range(owner, int(first), int(size)))
    return ranges


def _accounts(path: Path) -> list[Account]:
    found = []
    for line in _lines(path):
        fields = line.split(":")
        if len(fields) >= 3 and fields[2].isascii() and fields[2].isdigit():
            found.append(Account(fields[0], int(fields[2])))
    return found


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return []
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def _by_name(accounts: Sequence[Account], name: str) -> Account | None:
    return next((item for item in accounts if item.name == name), None)


def _by_number(accounts: Sequence[Account], number: int) -> Account | None:
    return next((item for item in accounts if item.number == number), None)
