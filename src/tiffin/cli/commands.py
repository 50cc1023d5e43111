"""The table of commands: words → module. A module is imported only when its command is typed."""

from collections.abc import Sequence
from typing import NamedTuple


class Entry(NamedTuple):
    """One command: `module` below `tiffin.cli` holds a `COMMAND`; `top` tells if it is also a verb."""

    group: str
    verb: str
    module: str
    top: bool = True
    aliases: tuple[str, ...] = ()


GROUPS: dict[str, str] = {
    "builder": "Manage builds",
    "container": "Manage containers",
    "context": "Manage contexts",
    "image": "Manage images",
    "manifest": "Manage Docker image manifests and manifest lists",
    "network": "Manage networks",
    "registry": "Run a registry",
    "system": "Manage Docker",
    "volume": "Manage volumes",
}

_CONTAINER = (
    "attach commit cp create diff exec export inspect! kill logs pause port prune! rename restart "
    "run start stats stop top unpause update wait"
)
_IMAGE = "build history import inspect! load prune! pull push save tag"


def _verbs(group: str, folder: str, names: str) -> list[Entry]:
    """Expand a list of verbs; `!` marks those that exist only inside their group."""
    return [
        Entry(group, name.rstrip("!"), f"{folder}.{name.rstrip('!')}", not name.endswith("!"))
        for name in names.split()
    ]


ENTRIES: list[Entry] = [
    *_verbs("container", "containers", _CONTAINER),
    Entry("container", "rm", "containers.rm", aliases=("remove",)),
    Entry("container", "ls", "containers.ps", top=False, aliases=("list", "ps")),
    Entry("", "ps", "containers.ps"),
    *_verbs("image", "images", _IMAGE.replace("import", "import_")),
    Entry("image", "ls", "images.ls", top=False, aliases=("list",)),
    Entry("", "images", "images.ls"),
    Entry("image", "rm", "images.rm", top=False, aliases=("remove",)),
    Entry("", "rmi", "images.rm"),
    Entry("builder", "build", "images.build", top=False),
    Entry("builder", "prune", "images.builder_prune", top=False),
    *_verbs("manifest", "manifest", "annotate! create! inspect! push! rm!"),
    *_verbs("network", "networks", "connect! create! disconnect! inspect! prune!"),
    Entry("network", "ls", "networks.ls", top=False, aliases=("list",)),
    Entry("network", "rm", "networks.rm", top=False, aliases=("remove",)),
    *_verbs("volume", "volumes", "create! inspect! prune!"),
    Entry("volume", "ls", "volumes.ls", top=False, aliases=("list",)),
    Entry("volume", "rm", "volumes.rm", top=False, aliases=("remove",)),
    *_verbs("registry", "registry", "gc! serve! user!"),
    *_verbs("system", "system", "df! events info prune! dial_stdio!"),
    Entry("", "version", "system.version"),
    Entry("", "inspect", "system.inspect"),
    Entry("", "login", "system.login"),
    Entry("", "logout", "system.logout"),
    Entry("", "search", "images.search"),
    Entry("", "undo", "system.undo"),
    Entry("image", "verify", "images.verify", top=False),
    Entry("image", "undo_rm", "images.undo_rm", top=False),
    Entry("system", "empty_trash", "system.empty_trash", top=False),
    *_verbs("context", "contexts", "create! export! import_! inspect! show! update! use!"),
    Entry("context", "ls", "contexts.ls", top=False, aliases=("list",)),
    Entry("context", "rm", "contexts.rm", top=False, aliases=("remove",)),
]


def _spelling(verb: str) -> str:
    return verb.rstrip("_").replace("_", "-")


def find(words: tuple[str, ...]) -> Entry | None:
    """Return the command that `words` name: one word for a verb, two for a group's."""
    for entry in ENTRIES:
        names = (_spelling(entry.verb), *entry.aliases)
        if len(words) == 2 and entry.group == words[0] and words[1] in names:
            return entry
        if len(words) == 1 and entry.top and words[0] == names[0]:
            return entry
    return None


def spellings(words: Sequence[str]) -> list[str]:
    """Return all ways to write the command that `words` name, the group's own first."""
    entry = find(tuple(words))
    if entry is None:
        return []
    found: list[str] = []
    for other in ENTRIES:
        if other.module == entry.module:
            name = _spelling(other.verb)
            if other.group:
                found += [f"{other.group} {spelled}" for spelled in (name, *other.aliases)]
            if other.top:
                found.append(name)
    return found


def verbs(group: str) -> list[tuple[str, Entry]]:
    """Return the commands of a group by spelling, sorted; "" for the top level."""
    found = [
        (_spelling(entry.verb), entry)
        for entry in ENTRIES
        if (entry.top if group == "" else entry.group == group)
    ]
    return sorted(found, key=lambda pair: pair[0])
