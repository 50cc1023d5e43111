"""`cp`: files between a container and here.

Rules of names, as Docker's: `CONTAINER:PATH` on exactly one side; `-` is a tar archive on standard input
or output; a source that ends in `/.` stands for a directory's content; a destination that ends in `/`
must be a directory.
"""

import base64
import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiffin.cli import human
from tiffin.cli.command import Command, CommandFailed, Context
from tiffin.cli.flags import Values, boolean
from tiffin.cli.input_file import blocks
from tiffin.cli.output_file import write_stream
from tiffin.cli.tarball import stream_path
from tiffin.client.api import Api, ApiError, path_part

DIRECTORY = 1 << 31
SYMLINK = 1 << 27
"""Bits of Go's os.FileMode, as the API reports modes."""


def run(context: Context, values: Values, arguments: list[str]) -> int:
    """Copy one way or the other."""
    source, target = arguments
    from_container, source_path = _split(source)
    to_container, target_path = _split(target)
    if from_container and to_container:
        raise CommandFailed("copying between containers is not supported")
    if not from_container and not to_container:
        raise CommandFailed("must specify at least one container source")
    if from_container:
        return _from_container(context, values, from_container, source_path, target)
    return _to_container(context, values, source, to_container, target_path)


def _split(text: str) -> tuple[str, str]:
    """Return container and path; a path that begins with `/` or `.` is local."""
    if text.startswith(("/", ".")) or ":" not in text:
        return "", text
    container, _, path = text.partition(":")
    return container, path


def _status(api: Api, container: str, path: str) -> dict[str, Any] | None:
    """Return what is at `path`, None if nothing is."""
    try:
        response = api.call("HEAD", f"/containers/{path_part(container)}/archive", {"path": path})
    except ApiError as error:
        if error.status == 404 and _exists(api, container):
            return None
        raise
    response.close()
    header = response.head.headers["x-docker-container-path-stat"]
    loaded: dict[str, Any] = json.loads(base64.b64decode(header))
    return loaded


def _exists(api: Api, container: str) -> bool:
    api.call("GET", f"/containers/{path_part(container)}/json").close()
    return True


def _from_container(
    context: Context, values: Values, container: str, path: str, target: str
) -> int:
    api = context.api
    if values["follow-link"]:
        status = _status(api, container, path)
        if status and status["mode"] & SYMLINK and status["linkTarget"]:
            link = status["linkTarget"]
            path = link if link.startswith("/") else str(Path(path).parent / link)
    query = {"path": path}
    # The destination's own link is followed, as for cp(1); links below it never are.
    destination = Path(target).absolute()
    if destination.is_symlink():
        destination = Path(os.path.realpath(destination))
    response = api.call("GET", f"/containers/{path_part(container)}/archive", query)
    if target != "-" and not destination.parent.is_dir():
        raise CommandFailed(f'invalid output path: directory "{destination.parent}" does not exist')
    if target == "-":
        write_stream(response.blocks(), "")
        return 0
    copies_content = path.rstrip("/").endswith("/.") or path in (".", "./")
    counted = _Counted(response.blocks())
    with tarfile.open(fileobj=_Reader(iter(counted)), mode="r|") as archive:  # type: ignore[call-overload]
        _unpack(archive, destination, target, copies_content=copies_content,
                         keep_owner=values["archive"])  # fmt: skip
    if not values["quiet"]:
        _say(f"Successfully copied {human.size(counted.total, 3)} to {target}")
    return 0


class _Reader:
    """Blocks as a file that tarfile can read."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            block = next(self._source, b"")
            if not block:
                break
            self._rest += block
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _unpack(
    archive: tarfile.TarFile, destination: Path, target: str, *, copies_content: bool,
    keep_owner: bool,
) -> None:  # fmt: skip
    """Unpack below `destination`, the archive's top entry renamed as `cp` would."""
    is_directory = destination.is_dir()
    root = destination if is_directory else destination.parent

    def renamed(name: str) -> str:
        top, _, rest = name.strip("/").partition("/")
        if not is_directory:
            return f"{destination.name}/{rest}".rstrip("/")
        return rest if copies_content or top == "." else name.strip("/")

    for number, member in enumerate(archive):
        if number == 0 and not is_directory:
            _check_new(destination, target, is_directory=member.isdir())
        name = renamed(member.name)
        if not name:
            continue
        if member.islnk():
            member.linkname = renamed(member.linkname)
        member.name = name
        _make_way(root / name, member)
        if not keep_owner:
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        archive.extract(member, root, filter=_confined, numeric_owner=True)


def _check_new(destination: Path, target: str, *, is_directory: bool) -> None:
    if target.endswith("/"):
        if os.path.lexists(destination):
            raise CommandFailed(f"stat {destination}/: not a directory")
        if not is_directory:
            raise CommandFailed("no such directory")
    elif is_directory and destination.exists():
        raise CommandFailed("cannot copy directory")


def _make_way(path: Path, member: tarfile.TarInfo) -> None:
    """Remove what an entry replaces: a file is not written through, nor is a link followed."""
    if not os.path.lexists(path):
        return
    existing_directory = path.is_dir() and not path.is_symlink()
    if existing_directory and not member.isdir():
        raise CommandFailed(
            f'cannot overwrite directory "{path}" with non-directory "{path.parent}"'
        )
    if not existing_directory and member.isdir():
        raise CommandFailed(
            f'cannot overwrite non-directory "{path}" with directory "{path.parent}"'
        )
    if not existing_directory:
        path.unlink()


def _confined(member: tarfile.TarInfo, root: str) -> tarfile.TarInfo:
    """Refuse names that lead outside (tar_filter does), but keep the mode as it is."""
    return tarfile.tar_filter(member, root).replace(mode=member.mode, deep=False)


def _to_container(context: Context, values: Values, source: str, container: str, path: str) -> int:
    api = context.api
    query: dict[str, object] = {
        "path": path, "noOverwriteDirNonDir": "true", "copyUIDGID": values["archive"] or None,
    }  # fmt: skip
    if source == "-":
        status = _status(api, container, path)
        if status is None or not status["mode"] & (DIRECTORY | SYMLINK):
            raise CommandFailed(f'destination "{container}:{path}" must be a directory')
        _put(api, container, query, blocks(sys.stdin.buffer))
        return 0
    local, name = Path(source), Path(source).absolute().name
    if not os.path.lexists(local):
        raise CommandFailed(f"lstat {local.absolute()}: no such file or directory")
    wants_directory = source.endswith(("/", "/."))
    if wants_directory and not local.is_dir():
        raise CommandFailed("not a directory")
    if values["follow-link"] or wants_directory:
        local = local.resolve()
    is_directory = local.is_dir() and not local.is_symlink()
    parent, name = _destination(api, container, path, name, source, is_directory=is_directory)
    query["path"] = parent
    counted = _Counted(stream_path(local, name or ".", _nameless))
    _put(api, container, query, iter(counted))
    if not values["quiet"]:
        _say(f"Successfully copied {human.size(counted.total, 3)} to {container}:{path}")
    return 0


class _Counted:
    """Blocks, and how many bytes they had."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self.total = 0

    def __iter__(self) -> Iterator[bytes]:
        for block in self._source:
            self.total += len(block)
            yield block


def _nameless(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Drop the names of users here: they mean nothing there."""
    info.uname = info.gname = ""
    return info


def _destination(
    api: Api, container: str, path: str, name: str, source: str, *, is_directory: bool
) -> tuple[str, str]:
    """Return the directory to unpack in and the name of the top entry ("" for content only)."""
    status = _status(api, container, path)
    if status and status["mode"] & SYMLINK and status["linkTarget"]:
        link = status["linkTarget"]
        path = link if link.startswith("/") else str(Path(path).parent / link)
        status = _status(api, container, path)
    if status and status["mode"] & DIRECTORY:
        wants_content = source.endswith("/.") or source in (".", "./")
        return path, "" if wants_content else name
    if is_directory and status is not None:
        raise CommandFailed("cannot copy directory")
    if status is None and path.endswith("/") and not is_directory:
        raise CommandFailed("no such directory")
    target = Path("/") / path
    return str(target.parent), target.name


def _put(api: Api, container: str, query: dict[str, object], stream: Iterator[bytes]) -> None:
    api.call(
        "PUT", f"/containers/{path_part(container)}/archive", query, stream=stream,
        headers={"Content-Type": "application/x-tar"},
    ).close()  # fmt: skip


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


COMMAND = Command(
    synopsis="[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t"
    "tiffin cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    summary="Copy files/folders between a container and the local filesystem",
    run=run,
    minimum=2,
    maximum=2,
    flags=[
        boolean("archive", "Archive mode (copy all uid/gid information)", "a"),
        boolean("follow-link", "Always follow symbol link in SRC_PATH", "L"),
        boolean("quiet", "Suppress progress output during copy", "q"),
    ],
)
