"""What `build` sends: a directory, an archive, or a lone Dockerfile."""

import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tiffin.cli.command import CommandFailed
from tiffin.cli.input_file import blocks
from tiffin.cli.tarball import END, owned_by_root, stream_tree
from tiffin.errors import InvalidArgument
from tiffin.spec.dockerignore import Ignore, parse_ignore

MAGIC = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")


class BuildContext(NamedTuple):
    """A request's body, the Dockerfile's name in it, or a `remote` for the daemon to fetch."""

    stream: Iterable[bytes] | None
    dockerfile: str = ""
    remote: str = ""


def open_context(path: str, dockerfile: str) -> BuildContext:
    """Return the context of `build PATH --file DOCKERFILE`; CommandFailed."""
    if path == "-":
        if dockerfile == "-":
            raise CommandFailed(
                "invalid argument: can't use stdin for both build context and dockerfile"
            )
        return _from_stdin(dockerfile)
    if path.startswith(("http://", "https://", "git://", "git@", "github.com/")):
        return BuildContext(None, dockerfile, path)
    root = Path(path)
    if not root.exists():
        raise CommandFailed(f"unable to prepare context: path {path!r} not found".replace("'", '"'))
    if not root.is_dir():
        raise CommandFailed(f"unable to prepare context: context must be a directory: {root}")
    return _from_directory(root, dockerfile)


def _from_directory(root: Path, dockerfile: str) -> BuildContext:
    extra: dict[str, bytes] = {}
    if dockerfile == "-":
        name = ".dockerfile.from-stdin"
        extra[name] = sys.stdin.buffer.read()
    else:
        name = _inside(root, dockerfile, extra)
    ignore = _load_ignore(root, name)

    def excludes(relative: str) -> bool:
        return relative not in (name, ".dockerignore") and ignore.excludes(relative)

    tree = stream_tree(
        root, excludes=excludes, descends=ignore.may_keep_below, change=owned_by_root
    )
    return BuildContext(_joined(extra, tree), name)


def _inside(root: Path, dockerfile: str, extra: dict[str, bytes]) -> str:
    """Return the Dockerfile's name in the context, taking one from outside along."""
    path = Path(dockerfile or "Dockerfile")
    if not dockerfile or (root / path).exists():
        path = root / path
    if path.exists() and path.resolve().is_relative_to(root.resolve()):
        return path.resolve().relative_to(root.resolve()).as_posix()
    try:
        extra[".dockerfile.outside"] = path.read_bytes()
    except OSError as error:
        raise CommandFailed(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat "
            f"{path.absolute()}: {(error.strerror or '').lower()}"
        ) from error
    return ".dockerfile.outside"


def _load_ignore(root: Path, dockerfile: str) -> Ignore:
    for candidate in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = root / candidate
        if path.is_file():
            try:
                return parse_ignore(path.read_text())
            except InvalidArgument as error:
                raise CommandFailed(f"error checking context: {error.message}") from error
    return Ignore()


def _joined(extra: dict[str, bytes], tree: Iterator[bytes]) -> Iterator[bytes]:
    for name, data in extra.items():
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), 0o600
        yield info.tobuf(tarfile.PAX_FORMAT)
        yield data + b"\0" * (-len(data) % tarfile.BLOCKSIZE)
    yield from tree


def _from_stdin(dockerfile: str) -> BuildContext:
    """Take an archive as it is, anything else as a Dockerfile without a context."""
    head = sys.stdin.buffer.read(1024)
    if head.startswith(MAGIC) or head[257:262] == b"ustar":

        def whole() -> Iterator[bytes]:
            yield head
            yield from blocks(sys.stdin.buffer)

        return BuildContext(whole(), dockerfile)
    text = head + sys.stdin.buffer.read()
    if not text.strip():
        raise CommandFailed("unable to prepare context: the Dockerfile (-) cannot be empty")
    return BuildContext(_joined({"Dockerfile": text}, iter([END])), "Dockerfile")
