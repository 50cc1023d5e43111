"""mount(8) option words → attributes, propagation and filesystem parameters.

The words are those of the OCI runtime specification (config-linux, "Linux mount options").
"""

from dataclasses import dataclass

from tiffin.linux.mount_api import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME,
    MOUNT_ATTR_STRICTATIME,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
)

# word → (bits to set, bits to clear); with a leading "r" the same for the whole tree.
_ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0),
    "rw": (0, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0),
    "suid": (0, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0),
    "dev": (0, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
    "nodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "diratime": (0, MOUNT_ATTR_NODIRATIME),
    "noatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    "atime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "relatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "norelatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "strictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    "nostrictatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
}
_RECURSIVE = {f"r{word}": bits for word, bits in _ATTRIBUTES.items()}
_PROPAGATION = {
    "private": MS_PRIVATE,
    "shared": MS_SHARED,
    "slave": MS_SLAVE,
    "unbindable": MS_UNBINDABLE,
}
_SUPERBLOCK_FLAGS = {"sync", "dirsync", "mand", "lazytime", "iversion"}
_IGNORED = {
    "defaults", "async", "nomand", "nolazytime", "noiversion", "auto", "noauto", "user", "nouser",
    "silent", "loud", "remount", "tmpcopyup", "",
}  # fmt: skip

WORDS = frozenset(
    {"bind", "rbind", *_ATTRIBUTES, *_RECURSIVE, *_PROPAGATION, *_SUPERBLOCK_FLAGS, *_IGNORED}
    | {f"r{word}" for word in _PROPAGATION}
) - {""}
"""All that are not left to a file system."""


@dataclass(frozen=True, slots=True)
class MountOptions:
    """Parsed words.

    `set_`/`clear` are MOUNT_ATTR bits of the mount itself, `tree_set`/`tree_clear` those of it and
    all below. `propagation` are (MS_ type, recursive) in order. `parameters` go to the filesystem:
    (key, None) is a flag.
    """

    bind: bool = False
    recursive: bool = False
    set_: int = 0
    clear: int = 0
    tree_set: int = 0
    tree_clear: int = 0
    propagation: tuple[tuple[int, bool], ...] = ()
    parameters: tuple[tuple[str, str | None], ...] = ()
    idmap: bool = False
    """The mount (of an overlay: its layers) shows other owners than are stored."""
    idmap_tree: bool = False
    """So does all that is mounted below."""


def propagation(word: str) -> tuple[int, bool]:
    """Return (MS_ type, recursive) of `rprivate`, `slave`, …; KeyError for another word."""
    if word in _PROPAGATION:
        return _PROPAGATION[word], False
    return _PROPAGATION[word.removeprefix("r")], True


def parse(words: tuple[str, ...]) -> MountOptions:
    """Parse option words; the last of contradicting ones wins, as with mount(8)."""
    bind = recursive = idmap = idmap_tree = False
    own, tree = (0, 0), (0, 0)
    modes: list[tuple[int, bool]] = []
    parameters: list[tuple[str, str | None]] = []
    for word in words:
        if word in ("bind", "rbind"):
            bind, recursive = True, recursive or word == "rbind"
        elif word in _ATTRIBUTES:
            own = _combine(own, _ATTRIBUTES[word])
        elif word in _PROPAGATION or word.removeprefix("r") in _PROPAGATION:
            modes.append(propagation(word))
        elif word in _RECURSIVE:
            tree = _combine(tree, _RECURSIVE[word])
        elif word in ("idmap", "ridmap"):
            idmap, idmap_tree = True, idmap_tree or word == "ridmap"
        elif word not in _IGNORED:
            key, separator, value = word.partition("=")
            parameters.append((key, value if separator else None))
    return MountOptions(
        bind, recursive, *own, *tree, tuple(modes), tuple(parameters), idmap, idmap_tree
    )


def is_parameter(word: str) -> bool:
    """Tell whether the word is for the filesystem rather than for the mount."""
    return bool(parse((word,)).parameters)


def _combine(bits: tuple[int, int], more: tuple[int, int]) -> tuple[int, int]:
    # A later word undoes an earlier one: a bit is never both set and cleared, but for the atime
    # field, which the kernel wants cleared whenever it is set.
    set_, clear = more
    return (bits[0] & ~clear) | set_, (bits[1] & ~set_) | clear
