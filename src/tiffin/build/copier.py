"""Copies files from one tree into another, both seen only from inside their roots."""

import os
import posixpath
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from tiffin.build.ownership import ModeChange, Owner
from tiffin.build.selection import Selected, excluding
from tiffin.build.tree import Accepts, Node, walk
from tiffin.errors import InvalidArgument
from tiffin.fs import xattrs
from tiffin.fs.atomic import write_all
from tiffin.fs.rooted import Root, clean

PORTION = 1 << 30
ROOT = Owner(0, 0)


@dataclass(frozen=True, slots=True)
class CopyRules:
    """How files change on the way. An owner of None keeps the source's."""

    owner: Owner | None = None
    created_owner: Owner = ROOT
    """Owner of directories that had to be made."""
    mode: ModeChange | None = None
    exclude: Sequence[str] = ()
    parents: bool = False


class Copier:
    """Copies selections from `source` to `target`."""

    def __init__(self, source: Root, target: Root, rules: CopyRules) -> None:
        self._source = source
        self._target = target
        self._rules = rules
        self._links: dict[tuple[int, int], str] = {}

    def copy(self, selected: Selected, destination: str, *, into_directory: bool) -> None:
        """Copy one selection; a directory's content goes into `destination`. OSError.

        `into_directory` says that `destination` is a directory even if it does not exist.
        """
        if self._rules.parents:
            self._copy_with_parents(selected, destination)
        elif selected.is_directory:
            self._copy_tree(selected, clean(destination))
        elif into_directory or self._is_directory(destination):
            name = posixpath.basename(selected.name) or posixpath.basename(selected.path)
            self._copy_file(selected, f"{clean(destination)}/{name}")
        else:
            self._copy_file(selected, clean(destination))

    def _copy_with_parents(self, selected: Selected, destination: str) -> None:
        place = f"{clean(destination)}/{selected.name}"
        if selected.is_directory:
            self._copy_tree(selected, clean(place))
        else:
            self._copy_file(selected, clean(place))

    def _copy_file(self, selected: Selected, destination: str) -> None:
        destination = clean(destination)
        self.make_directories(posixpath.dirname(destination))
        self._place(Node(selected.path, "", selected.status), destination)

    def _copy_tree(self, selected: Selected, destination: str) -> None:
        self.make_directories(destination)
        accepts: Accepts = excluding(self._rules.exclude, selected)
        times: list[tuple[str, os.stat_result]] = []
        for node in walk(self._source, selected.path, accepts):
            if not node.relative:
                continue
            place = f"{destination}/{node.relative}" if destination else node.relative
            self._place(node, place)
            if node.is_directory and not stat.S_ISLNK(self._target.stat(place).st_mode):
                times.append((place, node.status))
        for place, status in reversed(times):
            self._set_times(place, status)

    def make_directories(self, path: str) -> None:
        """Make a directory and its missing parents, as those that no source brings. OSError."""
        for made in self._target.mkdirs(clean(path)):
            owner = self._rules.owner or self._rules.created_owner
            parent, name = self._target.locate(made)
            os.chown(name, owner.uid, owner.gid, dir_fd=parent, follow_symlinks=False)
            os.chmod(name, 0o755, dir_fd=parent)  # whatever the umask was

    def _is_directory(self, path: str) -> bool:
        try:
            return stat.S_ISDIR(self._target.stat(path, follow=True).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _place(self, node: Node, place: str) -> None:
        mode = node.status.st_mode
        if node.is_directory:
            self._place_directory(node, place)
            return
        self._make_room(place)
        if stat.S_ISREG(mode):
            self._place_file(node, place)
        elif stat.S_ISLNK(mode):
            self._target.symlink(self._source.readlink(node.path), place)
            self._set_owner(node, place)
        elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISFIFO(mode):
            self._target.mknod(place, mode, node.status.st_rdev)
            self._set_owner(node, place)
            self._set_mode(node, place)
        else:
            return  # a socket means nothing without its listener
        self._set_times(place, node.status)

    def _place_directory(self, node: Node, place: str) -> None:
        try:
            self._target.mkdir(place)
        except FileExistsError:
            # A link to a directory is as good as one: base images have lib -> usr/lib.
            if not self._is_directory(place):
                raise InvalidArgument(f"cannot copy to non-directory: /{place}") from None
            if stat.S_ISLNK(self._target.stat(place).st_mode):
                return
        self._set_owner(node, place)
        self._set_mode(node, place)
        self._copy_attributes(node, place)

    def _make_room(self, place: str) -> None:
        try:
            status = self._target.stat(place)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(status.st_mode):
            raise InvalidArgument(f"cannot replace to directory /{place} with file")
        self._target.unlink(place)

    def _place_file(self, node: Node, place: str) -> None:
        identity = (node.status.st_dev, node.status.st_ino)
        if node.status.st_nlink > 1 and identity in self._links:
            self._target.link(self._links[identity], place)
            return
        self._links[identity] = place
        source = self._source.open(node.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            parent, name = self._target.locate(place)
            target = os.open(name, flags | os.O_CLOEXEC, 0o600, dir_fd=parent)
            try:
                copy_bytes(source, target)
                owner = self._owner(node)
                os.fchown(target, owner.uid, owner.gid)
                os.fchmod(target, self._mode(node))
                for attribute, value in xattrs.read(source).items():
                    os.setxattr(target, attribute, value)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def _owner(self, node: Node) -> Owner:
        return self._rules.owner or Owner(node.status.st_uid, node.status.st_gid)

    def _mode(self, node: Node) -> int:
        mode = stat.S_IMODE(node.status.st_mode)
        return self._rules.mode(mode, node.is_directory) if self._rules.mode else mode

    def _set_owner(self, node: Node, place: str) -> None:
        owner = self._owner(node)
        parent, name = self._target.locate(place)
        os.chown(name, owner.uid, owner.gid, dir_fd=parent, follow_symlinks=False)

    def _set_mode(self, node: Node, place: str) -> None:
        parent, name = self._target.locate(place)
        # What stands here was made by us a moment ago, in a tree that nobody else sees.
        os.chmod(name, self._mode(node), dir_fd=parent)

    def _copy_attributes(self, node: Node, place: str) -> None:
        source, source_name = self._source.locate(node.path)
        found = xattrs.read(xattrs.at(source, source_name))
        parent, name = self._target.locate(place)
        for attribute, value in found.items():
            os.setxattr(xattrs.at(parent, name), attribute, value, follow_symlinks=False)

    def _set_times(self, place: str, status: os.stat_result) -> None:
        parent, name = self._target.locate(place)
        times = (status.st_atime_ns, status.st_mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


def copy_bytes(source: int, target: int) -> None:
    """Copy a whole file, by the kernel where the file systems let it."""
    try:
        while os.copy_file_range(source, target, PORTION):
            pass
    except OSError:
        offset = os.lseek(target, 0, os.SEEK_END)
        while data := os.pread(source, 1 << 20, offset):
            write_all(target, data)
            offset += len(data)
