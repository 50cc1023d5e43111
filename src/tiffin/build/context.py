"""Build contexts: a tar stream unpacked into a directory of its own, and what is found in it.

Owners, device nodes and sockets of the archive mean nothing here. Nothing is written outside the
directory, whatever names and links the archive holds.
"""

import os
import posixpath
import stat

from tiffin.build.selection import keeps
from tiffin.build.tree import walk
from tiffin.errors import InvalidArgument, NotFound
from tiffin.fs.rooted import Root, clean
from tiffin.fs.tar import EntryKind, TarReader
from tiffin.layers.compression import Source, decompressor
from tiffin.layers.extract import Extractor
from tiffin.spec.dockerignore import Ignore, parse_ignore

DEFAULT_NAME = "Dockerfile"
MAXIMUM_DOCKERFILE = 4 << 20
"""Bytes."""
_TAKEN = frozenset((EntryKind.FILE, EntryKind.DIRECTORY, EntryKind.SYMLINK, EntryKind.HARD_LINK))


def unpack_context(stream: Source, root: Root) -> None:
    """Unpack a context, compressed or not, into the empty `root`; InvalidArgument."""
    reader = TarReader(decompressor(stream))
    extractor = Extractor(root, owner=(os.geteuid(), os.getegid()))
    for entry in reader:
        path = clean(entry.name)
        if not path or entry.kind not in _TAKEN:
            continue
        try:
            root.mkdirs(posixpath.dirname(path))
            extractor.extract(path, entry, reader)
        except OSError as error:
            raise InvalidArgument(f"build context: {entry.name!r}: {error.strerror}") from error
    extractor.finish()
    reader.drain()


def read_dockerfile(root: Root, name: str) -> str:
    """Return the text of the Dockerfile; InvalidArgument in Docker's words if there is none."""
    wanted = name or DEFAULT_NAME
    for candidate in dict.fromkeys((wanted, *(("dockerfile",) if not name else ()))):
        try:
            return _read(root, candidate)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InvalidArgument(
                f"failed to read dockerfile: open {wanted}: {error.strerror}"
            ) from error
    raise InvalidArgument(f"Cannot locate specified Dockerfile: {wanted}")


def _read(root: Root, name: str) -> str:
    fd = root.open(name, os.O_RDONLY | os.O_NONBLOCK)
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InvalidArgument(f"failed to read dockerfile: {name} is not a regular file")
        data = file.read(MAXIMUM_DOCKERFILE + 1)
    if len(data) > MAXIMUM_DOCKERFILE:
        raise InvalidArgument(f"failed to read dockerfile: {name} is too large")
    if not data.strip():
        raise InvalidArgument(f"the Dockerfile ({name}) cannot be empty")
    return data.decode("utf-8", "surrogateescape")


def apply_ignore(root: Root, dockerfile: str) -> None:
    """Remove what `.dockerignore`, or one next to the Dockerfile, leaves out; InvalidArgument."""
    ignore = read_ignore(root, dockerfile or DEFAULT_NAME)
    if not ignore:
        return

    def accepts(path: str, is_directory: bool) -> bool:
        if keeps(ignore, path, is_directory=is_directory):
            return True
        doomed.append(path)
        return False

    doomed: list[str] = []
    emptied = [node.path for node in walk(root, "", accepts)
               if node.is_directory and node.path and ignore.excludes(node.path)]  # fmt: skip
    for path in doomed:
        root.remove(path)
    for path in reversed(emptied):
        if not root.listdir(path):
            root.rmdir(path)


def read_ignore(root: Root, dockerfile: str) -> Ignore:
    """Return the rules that hold for `dockerfile`: its own before the general ones."""
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        try:
            with open(root.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                data = file.read(MAXIMUM_DOCKERFILE)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InvalidArgument(f"failed to read {name}: {error.strerror}") from error
        return parse_ignore(data.decode("utf-8", "surrogateescape"))
    return Ignore()


def require_directory(root: Root, path: str) -> None:
    """Check that a context's subdirectory exists; NotFound."""
    try:
        root.directory(clean(path))
    except OSError as error:
        raise NotFound(f"build context: {path}: {error.strerror}") from error
