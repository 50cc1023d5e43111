"""Which files a COPY source means, and a digest of their content.

The digest covers names, types, modes, owners, link targets, device numbers, extended attributes and
bytes, not times: files that are merely younger do not invalidate a step.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tiffin.build.key import Parts
from tiffin.build.tree import Accepts, Node, walk
from tiffin.errors import NotFound
from tiffin.fs import xattrs
from tiffin.fs.rooted import Root, clean
from tiffin.spec.digest import digest_bytes
from tiffin.spec.dockerignore import Ignore, from_patterns
from tiffin.spec.patterns import compile_pattern, has_magic

NAMED_FILES = 1000
"""Files with a part of their own in a cache key; more are summed up in one."""


@dataclass(frozen=True, slots=True)
class Selected:
    """One source: `path` with links resolved, `name` as it was asked for."""

    path: str
    name: str
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)


def select(root: Root, pattern: str, keyword: str = "COPY") -> list[Selected]:
    """Return what `pattern` matches in `root`, in order; NotFound in Docker's words."""
    wanted = clean(pattern)
    names = _matching(root, wanted) if has_magic(wanted) else [wanted]
    if not names:
        raise NotFound(f"{keyword} failed: no source files were specified")
    return [_selected(root, name, pattern, keyword) for name in names]


def _selected(root: Root, name: str, pattern: str, keyword: str) -> Selected:
    try:
        path = root.resolve(name) if name else ""
        return Selected(path, name, root.stat(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        shown = pattern.lstrip("/") if not has_magic(pattern) else name
        raise NotFound(
            f"{keyword} failed: file not found in build context or excluded by .dockerignore: "
            f"stat {shown}: file does not exist"
        ) from error


def _matching(root: Root, pattern: str) -> list[str]:
    found = [""]
    for part in pattern.split("/"):
        matcher = compile_pattern(part)
        found = [f"{base}/{name}" if base else name for base in found
                 for name in _names(root, base) if matcher.fullmatch(name)]  # fmt: skip
    return found


def _names(root: Root, directory: str) -> list[str]:
    try:
        return root.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def excluding(patterns: Sequence[str], selected: Selected) -> Accepts:
    """Return a filter for a walk of `selected` that leaves out what `--exclude` matches.

    Patterns are relative to the directory that is copied, or to where the sources are.
    """
    ignore = from_patterns(patterns)
    prefix = f"{selected.path}/" if selected.path else ""
    named = f"{selected.name}/" if selected.name else ""

    def accepts(path: str, is_directory: bool) -> bool:
        relative = path.removeprefix(prefix)
        return keeps(ignore, relative, is_directory=is_directory) and (
            not named or keeps(ignore, named + relative, is_directory=is_directory)
        )

    return accepts


def drop_excluded(found: Sequence[Selected], patterns: Sequence[str]) -> list[Selected]:
    """Return those selections that `--exclude` does not name themselves."""
    ignore = from_patterns(patterns)
    return [each for each in found if not each.name or not ignore.excludes(each.name)]


def keeps(ignore: Ignore, path: str, *, is_directory: bool) -> bool:
    """Tell whether a walk must visit `path`: kept itself, or with something kept below."""
    if not ignore.excludes(path):
        return True
    return is_directory and ignore.has_exceptions and ignore.may_keep_below(path)


def content_parts(
    root: Root, patterns: Sequence[str], exclude: Sequence[str] = (), *, keyword: str = "COPY",
    owners: bool = True,
) -> Parts:  # fmt: skip
    """Return named digests of everything that `patterns` select.

    Without `owners`, uid and gid do not count (files of a context belong to nobody in particular).
    """
    parts: list[tuple[str, str]] = []
    for pattern in patterns:
        for selected in drop_excluded(select(root, pattern, keyword), exclude):
            parts.append((f"source {pattern}", selected.name))
            parts += _tree_parts(root, selected, excluding(exclude, selected), owners=owners)
    if len(parts) <= NAMED_FILES:
        return tuple(parts)
    total = hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape"))
    return (("files", f"sha256:{total.hexdigest()}"),)


def _tree_parts(
    root: Root, selected: Selected, accepts: Accepts, *, owners: bool
) -> Iterator[tuple[str, str]]:
    links: dict[tuple[int, int], str] = {}
    for node in walk(root, selected.path, accepts):
        name = f"{selected.name}/{node.relative}" if node.relative else selected.name
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        yield f"file {shown or '.'}", _node_digest(root, node, links, owners=owners)


def _node_digest(root: Root, node: Node, links: dict[tuple[int, int], str], *, owners: bool) -> str:
    status = node.status
    fields = [f"{status.st_mode:o}"]
    if owners:
        fields += [str(status.st_uid), str(status.st_gid)]
    if stat.S_ISLNK(status.st_mode):
        fields.append(root.readlink(node.path))
    elif stat.S_ISREG(status.st_mode):
        fields.append(_file_digest(root, node, links))
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        fields.append(str(status.st_rdev))
    return digest_bytes("\0".join(fields).encode("utf-8", "surrogateescape"))


def _file_digest(root: Root, node: Node, links: dict[tuple[int, int], str]) -> str:
    identity = (node.status.st_dev, node.status.st_ino)
    if node.status.st_nlink > 1 and identity in links:
        return f"link {links[identity]}"
    links[identity] = node.relative
    with open(root.open(node.path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        attributes = xattrs.read(file.fileno())
        digest = hashlib.file_digest(file, "sha256")
    for name, value in attributes.items():
        digest.update(f"{name}={value.hex()}\0".encode())
    return digest.hexdigest()
