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
    response = api.call("GET", f"/containers/{path_part(container)}/archive", query)
    if target == "-":
        write_stream(response.blocks(), "")
        return 0
    destination = Path(target)
    copies_content = path.rstrip("/").endswith("/.") or path in (".", "./")
    with tarfile.open(fileobj=_Reader(response.blocks()), mode="r|") as archive:  # type: ignore[call-overload]
        copied = _unpack(archive, destination, target, copies_content=copies_content,
                         keep_owner=values["archive"])  # fmt: skip
    if not values["quiet"]:
        _say(f"Successfully copied {human.size(copied, 3)} to {target}")
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
) -> int:  # fmt: skip
    """Unpack below `destination`, the archive's top entry renamed as `cp` would; return bytes."""
    is_directory = destination.is_dir()
    if not is_directory and not destination.parent.is_dir():
        raise CommandFailed(f'invalid output path: directory "{destination.parent}" does not exist')
    copied = 0
    for member in archive:
        top, _, rest = member.name.strip("/").partition("/")
        if copies_content and is_directory:
            name = (
                rest
                if top == "." or member.name.startswith("./")
                else member.name.partition("/")[2]
            )
            root = destination
        elif is_directory:
            name, root = member.name.strip("/"), destination
        else:
            if target.endswith("/") and not member.isdir():
                raise CommandFailed(f"destination directory {target} must exist")
            name, root = f"{destination.name}/{rest}".rstrip("/"), destination.parent
        if not name:
            continue
        if member.islnk():
            member.linkname = name.partition("/")[0] + "/" + member.linkname.partition("/")[2]
        member.name = name
        if is_directory and member.isdir() and (root / name).is_file():
            raise CommandFailed(
                f"cannot overwrite non-directory {str(root / name)!r} with a directory"
            )
        # The daemon's word about owners is kept only on request; names never lead outside.
        if not keep_owner:
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        archive.extract(member, root, filter=tarfile.tar_filter, numeric_owner=True)
        copied += member.size
    return copied


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
    local = Path(source)
    if values["follow-link"]:
        local = local.resolve()
    if not os.path.lexists(local):
        raise CommandFailed(f"lstat {local.absolute()}: no such file or directory")
    parent, name = _destination(api, container, path, local, source)
    query["path"] = parent
    counted = _Counter()
    stream = _content(local) if name == "" else stream_path(local, name, counted)
    _put(api, container, query, stream)
    if not values["quiet"]:
        _say(f"Successfully copied {human.size(counted.total, 3)} to {container}:{path}")
    return 0


class _Counter:
    def __init__(self) -> None:
        self.total = 0

    def __call__(self, info: tarfile.TarInfo) -> tarfile.TarInfo:
        self.total += info.size
        info.uname = info.gname = ""
        return info


def _content(local: Path) -> Iterator[bytes]:
    """Yield an archive whose top entry is `.`: the content of a directory."""
    yield from stream_path(local, ".", _Counter())


def _destination(api: Api, container: str, path: str, local: Path, source: str) -> tuple[str, str]:
    """Return the directory to unpack in and the name of the top entry ("" for content only)."""
    status = _status(api, container, path)
    if status and status["mode"] & SYMLINK and status["linkTarget"]:
        link = status["linkTarget"]
        path = link if link.startswith("/") else str(Path(path).parent / link)
        status = _status(api, container, path)
    is_directory = bool(status and status["mode"] & DIRECTORY)
    wants_content = source.endswith("/.") or source in (".", "./")
    if is_directory:
        if wants_content:
            if not local.is_dir():
                raise CommandFailed(f"{source}: not a directory")
            return path, ""
        return path, local.absolute().name
    if local.is_dir() and status is not None:
        raise CommandFailed(f"cannot copy directory to file {container}:{path}")
    if status is None and path.endswith("/") and not local.is_dir():
        raise CommandFailed(f"destination directory {container}:{path} must exist")
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
