"""User namespaces of containers: the words that ask for one, and what they go together with.

    ""                    as the daemon does by default (`--userns-remap`)
    host                  none
    auto, private         one of its own, with a range of ids that no other container has
    auto:size=1000,uidmapping=0:1000:1,gidmapping=0:1000:1
                          so many ids; these ones of the container are those of the host

Docker's client lets only "" and `host` pass as `--userns`; `--security-opt userns=auto` says the
same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tiffin.api.types.host_config import HostConfig
from tiffin.engine.bundle.users import Account
from tiffin.errors import InvalidArgument
from tiffin.spec.id_mapping import IdMapping, IdMappings, to_host

DEFAULT_SIZE = 65_536
_LARGEST = 2**32 - 1
OWN = frozenset({"auto", "private"})


@dataclass(frozen=True, slots=True)
class UserNamespaceMode:
    """A parsed word. `kind` is "", `host` or `auto`; `uids` and `gids` are fixed by the user."""

    kind: str = ""
    size: int = DEFAULT_SIZE
    uids: tuple[IdMapping, ...] = ()
    gids: tuple[IdMapping, ...] = ()

    @property
    def is_own(self) -> bool:
        """The container gets a range of ids for itself."""
        return self.kind == "auto"


def parse_mode(text: str) -> UserNamespaceMode:
    """Parse a `UsernsMode`; InvalidArgument."""
    kind, separator, options = text.partition(":")
    if kind in ("", "host") and not separator:
        return UserNamespaceMode(kind)
    if kind not in OWN:
        raise InvalidArgument(f"invalid USER mode: {text}")
    mode = UserNamespaceMode("auto")
    for option in options.split(",") if separator else ():
        mode = _with_option(mode, option, text)
    _check_overlap(mode.uids, text)
    _check_overlap(mode.gids, text)
    return mode


def _with_option(mode: UserNamespaceMode, option: str, text: str) -> UserNamespaceMode:
    name, _, value = option.partition("=")
    numbers = value.split(":")
    if not all(number.isascii() and number.isdigit() for number in numbers):
        raise InvalidArgument(f"invalid USER mode: {text}: {option} has no number")
    if name == "size" and len(numbers) == 1 and 0 < int(value) <= _LARGEST:
        return replace(mode, size=int(value))
    if name in ("uidmapping", "gidmapping") and len(numbers) == 3:
        mapping = IdMapping(*map(int, numbers))
        last = max(mapping.container, mapping.host) + mapping.size
        if mapping.size > 0 and last <= _LARGEST:
            if name == "uidmapping":
                return replace(mode, uids=(*mode.uids, mapping))
            return replace(mode, gids=(*mode.gids, mapping))
    raise InvalidArgument(f"invalid USER mode: {text}: cannot understand {option}")


def _check_overlap(mappings: tuple[IdMapping, ...], text: str) -> None:
    end = 0
    for item in sorted(mappings, key=lambda item: item.container):
        if item.container < end:
            raise InvalidArgument(f"invalid USER mode: {text}: mappings overlap")
        end = item.container + item.size


def user_namespace_mode(host: HostConfig) -> UserNamespaceMode:
    """Return what a container asks for, by `--userns` or `--security-opt userns=`."""
    options = [
        option[len("userns=") :]
        for option in host.security_opt or ()
        if option.startswith("userns=")
    ]
    for option in options:
        if option != (host.userns_mode or option) or option != options[0]:
            raise InvalidArgument(
                "conflicting options: --userns and --security-opt userns say different things"
            )
    return parse_mode(host.userns_mode or (options[0] if options else ""))


def check_conflicts(host: HostConfig, *, is_remapped: bool) -> None:
    """Raise InvalidArgument for what a container cannot have in a user namespace."""
    if not is_remapped:
        return
    if host.privileged:
        raise InvalidArgument(
            "privileged mode is incompatible with user namespaces.  You must run the container in"
            " the host namespace when running privileged mode"
        )
    if host.network_mode == "host":
        raise InvalidArgument(
            "cannot share the host's network namespace when user namespaces are enabled"
        )
    if host.pid_mode == "host":
        raise InvalidArgument(
            "cannot share the host PID namespace when user namespaces are enabled"
        )


def parse_idmap(word: str) -> IdMappings | None:
    """Parse the value of a bind's `idmap=…`; None if it names the owner of the source.

    "" stands for the container's own user namespace. `uids=0-1000-1#1-2000-5;gids=0-1000-1`: the
    stored ids from 0 on are shown as the container's from 1000 on, one of them. InvalidArgument.
    """
    if word == "owner":
        return None
    found: dict[str, tuple[IdMapping, ...]] = {}
    for part in word.split(";") if word else ():
        name, _, text = part.partition("=")
        if name not in ("uids", "gids") or name in found or not text:
            raise InvalidArgument(f"invalid idmap: {word}")
        found[name] = tuple(_extent(extent, word) for extent in text.split("#"))
    if word and set(found) != {"uids", "gids"}:
        raise InvalidArgument(f"invalid idmap: {word}: it must have both uids and gids")
    return IdMappings(found.get("uids", ()), found.get("gids", ()))


def _extent(text: str, word: str) -> IdMapping:
    numbers = text.split("-")
    if len(numbers) != 3 or not all(item.isascii() and item.isdigit() for item in numbers):
        raise InvalidArgument(f"invalid idmap: {word}: {text} is not FROM-TO-LENGTH")
    mapping = IdMapping(*map(int, numbers))
    if not mapping.size or max(mapping.container, mapping.host) + mapping.size > _LARGEST:
        raise InvalidArgument(f"invalid idmap: {word}: {text} is out of range")
    return mapping


def bind_mappings(
    word: str, owner: tuple[int, int], account: Account, own: IdMappings
) -> IdMappings:
    """Return the maps of an idmapped bind from stored ids to the host's; InvalidArgument.

    `owner` has the source directory, `account` is the container's user, `own` the maps of the
    container's user namespace (empty without one).
    """
    wanted = parse_idmap(word)
    if wanted is None:
        return IdMappings(
            _as_another(owner[0], account.uid, own.uids),
            _as_another(owner[1], account.gid, own.gids),
        )
    if not wanted:
        if not own:
            raise InvalidArgument(
                "idmap needs a container with a user namespace; idmap=owner gives the source's"
                " owner to the container's user without one"
            )
        return own
    return IdMappings(_to_host(wanted.uids, own.uids), _to_host(wanted.gids, own.gids))


def _as_another(stored: int, shown: int, own: Sequence[IdMapping]) -> tuple[IdMapping, ...]:
    """Map one id; without a user namespace the others stay, but for what is taken by it."""
    if own:
        return _to_host((IdMapping(stored, shown, 1),), tuple(own))
    if stored == shown:
        return (IdMapping(0, 0, _LARGEST),)
    out, at = [IdMapping(stored, shown, 1)], 0
    for hole in sorted((stored, shown)):
        if hole > at:
            out.append(IdMapping(at, at, hole - at))
        at = hole + 1
    out.append(IdMapping(at, at, _LARGEST - at))
    return tuple(sorted(out, key=lambda item: item.container))


def _to_host(wanted: tuple[IdMapping, ...], own: tuple[IdMapping, ...]) -> tuple[IdMapping, ...]:
    if not own:
        return wanted
    out = []
    for item in wanted:
        first, last = to_host(own, item.host), to_host(own, item.host + item.size - 1)
        if first is None or last is None or last - first != item.size - 1:
            raise InvalidArgument(
                f"idmap: {item.host} to {item.host + item.size - 1} are no ids of the container's"
                " user namespace"
            )
        out.append(IdMapping(item.container, first, item.size))
    return tuple(out)
